"""Deltas -> objects of the Chat Completions API: the chunks of a stream, or one whole completion."""

from typing import assert_never

import msgspec

from codex_proxy.dialects import freeform
from codex_proxy.dialects.chat.deltas import Call, Content, Delta, Failure, Finish, Reasoning
from codex_proxy.dialects.chat.objects import (
    AnswerChoice,
    AnswerDelta,
    AnswerMessage,
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    CompletionUsage,
    CustomText,
    DeltaToolCall,
    FunctionText,
    MessageToolCall,
)
from codex_proxy.errors import ProxyError
from codex_proxy.history import Called, History, Message, Text


class Chunks:
    """Builds the chunks of one stream; `encode` returns those of a delta. A Failure has no chunk: the caller handles it."""

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        self._blank = ChatCompletionChunk(completion_id, created, model, choices=(), usage=None if include_usage else msgspec.UNSET)

    def first(self) -> ChatCompletionChunk:
        """Return the chunk with the role, which precedes all others."""
        return self._chunk(AnswerDelta(role="assistant", content=""))

    def encode(self, delta: Content | Reasoning | Call | Finish) -> list[ChatCompletionChunk]:
        match delta:
            case Content():
                return [self._chunk(AnswerDelta(content=delta.text))]
            case Reasoning():
                return [self._chunk(AnswerDelta(reasoning_content=delta.text))]
            case Call():
                return [self._chunk(AnswerDelta(tool_calls=(part,))) for part in _pieces(delta)]
            case Finish():
                last = msgspec.structs.replace(self._blank, choices=(ChunkChoice(AnswerDelta(), delta.reason),))
                if self._blank.usage is msgspec.UNSET or delta.usage is None:
                    return [last]
                return [last, msgspec.structs.replace(self._blank, usage=CompletionUsage.of(delta.usage))]
            case _:
                assert_never(delta)

    def _chunk(self, delta: AnswerDelta) -> ChatCompletionChunk:
        return msgspec.structs.replace(self._blank, choices=(ChunkChoice(delta),))


def _pieces(call: Call) -> tuple[DeltaToolCall, DeltaToolCall]:
    if call.freeform:
        head = DeltaToolCall(call.index, custom=CustomText(call.name, ""), id=call.call_id, type="custom")
        return head, DeltaToolCall(call.index, custom=CustomText(input=call.arguments))
    head = DeltaToolCall(call.index, FunctionText(call.name, ""), id=call.call_id, type="function")
    return head, DeltaToolCall(call.index, FunctionText(arguments=call.arguments))


def _whole(call: Call) -> MessageToolCall:
    if call.freeform:
        return MessageToolCall(call.call_id, custom=CustomText(call.name, call.arguments), type="custom")
    return MessageToolCall(call.call_id, FunctionText(call.name, call.arguments))


class Completion:
    """Builds a whole completion from its deltas."""

    def __init__(self, completion_id: str, created: int, model: str) -> None:
        self.error: ProxyError | None = None
        self._head = (completion_id, created, model)
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[MessageToolCall] = []
        self._finish = Finish("stop", None)

    def add(self, delta: Delta) -> None:
        match delta:
            case Content():
                self._content.append(delta.text)
            case Reasoning():
                self._reasoning.append(delta.text)
            case Call():
                self._calls.append(_whole(delta))
            case Finish():
                self._finish = delta
            case Failure():
                self.error = delta.error
            case _:
                assert_never(delta)

    def body(self) -> ChatCompletion:
        """Return the completion object, for a turn that did not fail."""
        content = "".join(self._content)
        message = AnswerMessage(
            content=None if self._calls and not content else content,
            reasoning_content="".join(self._reasoning) if self._reasoning else msgspec.UNSET,
            tool_calls=tuple(self._calls) if self._calls else msgspec.UNSET,
        )
        usage = self._finish.usage
        return ChatCompletion(
            *self._head,
            choices=(AnswerChoice(message, self._finish.reason),),
            usage=CompletionUsage.of(usage) if usage is not None else msgspec.UNSET,
        )


class GivenAnswer:
    """The part of an answer that the client will replay. `ended`: it has all of it; `whole`: which is all that the model said."""

    def __init__(self) -> None:
        self.ended = False
        self.whole = False
        self._texts: list[str] = []
        self._calls: list[Called] = []

    def add(self, delta: Delta) -> None:
        match delta:
            case Content():
                self._texts.append(delta.text)
            case Call():
                arguments = freeform.argument(delta.arguments) if delta.freeform else delta.arguments
                self._calls.append(Called(delta.call_id, delta.name, arguments))
            case Finish():
                self.ended = True
                self.whole = delta.reason in ("stop", "tool_calls")
            case _:
                pass

    def as_history(self) -> tuple[History, ...]:
        """Return the answer as it appears in the next request of the conversation."""
        text = "".join(self._texts)
        return (*((Message("assistant", (Text(text),)),) if text.strip() else ()), *self._calls)
