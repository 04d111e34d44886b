"""A decoded request, as passed from the dialects to policy, which turns it into a Turn."""

from collections.abc import Iterator

import msgspec

from codex_proxy.history import Answered, History, Image, Message, Part
from codex_proxy.turns import Mode, Sandbox, Summary, Tool


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for, independent of its dialect; None for what it does not specify."""

    model: str | None
    history: tuple[History, ...]  # what the model has seen before `input`
    input: tuple[Part, ...]  # empty: the model continues from the history
    tools: tuple[Tool, ...] = ()
    must_call: bool = False  # the answer must call one of the tools
    one_call: bool = False  # the answer may have at most one call
    output_schema: str | None = None  # a strict JSON Schema for the answer, as JSON text
    checked_schema: str | None = None  # any other schema: the prompt asks for it, and the answer is checked against it
    record: bool = False  # report the raw items, for a continuation
    effort: str | None = None
    effort_place: str = "reasoning_effort"  # the request member that sets it, for errors
    mode: Mode | None = None
    task: str | None = None  # the kind of background task that a chat UI sends on its own, with the UI's name
    sandbox: Sandbox | None = None
    network: bool | None = None
    cwd: str | None = None
    summary: Summary | None = None
    hide_reasoning: bool | None = None
    expose_reasoning: bool = False
    verbosity: str | None = None
    service_tier: str | None = None
    web_search: bool = False
    web_search_place: str = "web_search_options"  # the request member that sets it, for errors
    note: tuple[History, ...] = ()  # appended to the history for this turn only
    apart: tuple[str, ...] = ()  # further values that distinguish the client's conversations
    private: bool = False  # nothing of the conversation may be left on disk

    @property
    def images(self) -> list[Image]:
        return [image for image in self._images if not image.is_pdf]

    @property
    def pdfs(self) -> list[Image]:
        """PDF files that have not been read yet."""
        return [image for image in self._images if image.is_pdf]

    @property
    def _images(self) -> Iterator[Image]:
        spoken = [*(item.parts for item in self.history if isinstance(item, Message | Answered)), self.input]
        return (part for parts in spoken for part in parts if isinstance(part, Image))
