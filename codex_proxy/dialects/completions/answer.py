"""Deltas -> objects of the legacy Completions API: a whole completion, or the pieces of a stream, which have the same form."""

from typing import Literal, assert_never

import msgspec

from codex_proxy.dialects.chat.deltas import Call, Content, Delta, Failure, Finish, Reasoning
from codex_proxy.dialects.chat.objects import CompletionUsage
from codex_proxy.errors import ProxyError


class TextChoice(msgspec.Struct, frozen=True):
    text: str
    finish_reason: Literal["stop", "length"] | None
    index: int = 0
    logprobs: None = None


class TextCompletion(msgspec.Struct, frozen=True):
    """A complete answer or one chunk of a stream. `usage` is null in all chunks but the last, and omitted unless requested."""

    id: str
    created: int
    model: str
    choices: tuple[TextChoice, ...]
    object: Literal["text_completion"] = "text_completion"
    usage: CompletionUsage | msgspec.UnsetType | None = msgspec.UNSET


class Pieces:
    """Builds the pieces of one stream; `encode` returns those of a delta."""

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        self._blank = TextCompletion(completion_id, created, model, choices=(), usage=None if include_usage else msgspec.UNSET)

    def first(self) -> TextCompletion:
        """Return an empty piece that starts the stream."""
        return self._piece("")

    def encode(self, delta: Content | Reasoning | Call | Finish) -> list[TextCompletion]:
        match delta:
            case Content():
                return [self._piece(delta.text)]
            case Reasoning() | Call():
                return []
            case Finish():
                last = self._piece("", "length" if delta.reason == "length" else "stop")
                if self._blank.usage is msgspec.UNSET or delta.usage is None:
                    return [last]
                return [last, msgspec.structs.replace(self._blank, usage=CompletionUsage.of(delta.usage))]
            case _:
                assert_never(delta)

    def _piece(self, text: str, reason: Literal["stop", "length"] | None = None) -> TextCompletion:
        return msgspec.structs.replace(self._blank, choices=(TextChoice(text, reason),))


class Whole:
    """Builds a whole completion from its deltas."""

    def __init__(self, completion_id: str, created: int, model: str) -> None:
        self.error: ProxyError | None = None
        self._head = (completion_id, created, model)
        self._text: list[str] = []
        self._finish = Finish("stop", None)

    def add(self, delta: Delta) -> None:
        match delta:
            case Content():
                self._text.append(delta.text)
            case Finish():
                self._finish = delta
            case Failure():
                self.error = delta.error
            case Reasoning() | Call():
                pass
            case _:
                assert_never(delta)

    def body(self) -> TextCompletion:
        """Return the completion object, for a turn that did not fail."""
        choice = TextChoice("".join(self._text), "length" if self._finish.reason == "length" else "stop")
        usage = self._finish.usage
        return TextCompletion(*self._head, choices=(choice,), usage=CompletionUsage.of(usage) if usage else msgspec.UNSET)
