"""Wish: a request, decoded. It lies between the dialects, which make it, and policy, which decides what becomes of it."""

from collections.abc import Iterator

import msgspec

from codex_proxy.history import Answered, History, Image, Message, Part
from codex_proxy.turns import Mode, Sandbox, Summary, Tool


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for, in no dialect's words; None where it does not say. `policy` makes a Turn of it."""

    model: str | None
    history: tuple[History, ...]  # what the model has seen before `input`
    input: tuple[Part, ...]  # nothing: it goes on from the history
    tools: tuple[Tool, ...] = ()
    must_call: bool = False  # one of the tools has to be called
    one_call: bool = False  # at most one call in an answer
    output_schema: str | None = None  # a strict JSON Schema for the answer, as JSON text
    checked_schema: str | None = None  # another one, which the model is asked for in words
    record: bool = False  # tell of the items as they are, for a continuation
    effort: str | None = None
    effort_place: str = "reasoning_effort"  # where the request says so, for an error
    mode: Mode | None = None
    task: str | None = None  # of a chat UI, which sends it by itself: which one of which
    sandbox: Sandbox | None = None
    network: bool | None = None
    cwd: str | None = None
    summary: Summary | None = None
    hide_reasoning: bool | None = None
    expose_reasoning: bool = False
    verbosity: str | None = None
    service_tier: str | None = None
    web_search: bool = False
    web_search_place: str = "web_search_options"  # where the request says so
    note: tuple[History, ...] = ()  # after the history, for this turn alone
    apart: tuple[str, ...] = ()  # by what else the client tells its conversations apart
    private: bool = False  # nothing of it may be left on disk

    @property
    def images(self) -> list[Image]:
        return [image for image in self._images if not image.is_pdf]

    @property
    def pdfs(self) -> list[Image]:
        """Files that are not read yet."""
        return [image for image in self._images if image.is_pdf]

    @property
    def _images(self) -> Iterator[Image]:
        spoken = [*(item.parts for item in self.history if isinstance(item, Message | Answered)), self.input]
        return (part for parts in spoken for part in parts if isinstance(part, Image))
