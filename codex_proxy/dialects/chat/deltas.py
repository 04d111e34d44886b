"""TurnEvents -> what a chat client sees: content, reasoning_content and an end; the same for streams and whole answers.

Reasoning, commentary and the agent's work go into reasoning_content: in `tool_calls`, the client would run the work again.
"""

from typing import assert_never

import msgspec

from codex_proxy.dialects.chat.objects import FinishReason
from codex_proxy.dialects.common import plan_line, waiting_for, work_line
from codex_proxy.dialects.limit import TextLimit
from codex_proxy.errors import ProxyError
from codex_proxy.turns import (
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    Patch,
    PlanUpdated,
    ReasoningCompleted,
    ReasoningDelta,
    ReasoningStarted,
    Recorded,
    Search,
    ToolCalled,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    Usage,
    Waiting,
    Work,
    WorkCompleted,
    WorkProgress,
    WorkStarted,
)

_BREAK = "\n\n"


class Content(msgspec.Struct, frozen=True):
    """More text of the answer."""

    text: str


class Reasoning(msgspec.Struct, frozen=True):
    """More reasoning text. `only_waits`: the turn is waiting, and the text says for what."""

    text: str
    only_waits: bool = False


class Call(msgspec.Struct, frozen=True):
    """A call of one of the client's tools; `index` numbers the calls from 0."""

    index: int
    call_id: str
    name: str
    arguments: str  # for a custom tool, its text
    freeform: bool = False


class Finish(msgspec.Struct, frozen=True):
    """The end of an answer. `reason` is that of the API: stop, length or tool_calls."""

    reason: FinishReason
    usage: Usage | None


class Failure(msgspec.Struct, frozen=True):
    """A failed end, with its error."""

    error: ProxyError


Delta = Content | Reasoning | Call | Finish | Failure


class ChatDeltas:
    """The deltas of one turn. Once `enough` is true, the client has all it asked for and the turn should be interrupted."""

    def __init__(
        self,
        *,
        stop: tuple[str, ...],
        max_tokens: int | None,
        show_reasoning: bool,
        show_activity: bool,
        show_waiting: bool = False,
        freeform_tools: frozenset[str] = frozenset(),
    ) -> None:
        self._limit = TextLimit(stop, max_tokens)
        self._show_reasoning = show_reasoning
        self._show_activity = show_activity
        self._show_waiting = show_waiting
        self._freeform_tools = freeform_tools
        self._commentary: set[str] = set()
        self._calls = 0
        self._content_item: str | None = None
        self._reasoning_part: tuple[str, int] | None = None  # item and part that reasoning_content is in

    @property
    def enough(self) -> bool:
        return self._limit.reached is not None

    def feed(self, event: TurnEvent) -> list[Delta]:
        """Return the deltas for one event."""
        match event:
            case MessageDelta():
                return self._message(event)
            case ReasoningDelta():
                return self._reason(event.item, event.part * 2 + event.raw, event.text) if self._show_reasoning else []
            case MessageStarted():
                if event.phase == "commentary":
                    self._commentary.add(event.item)
                return []
            case WorkStarted():
                return self._work(event.item, event.work, at_end=False)
            case WorkCompleted():
                return self._work(event.item, event.work, at_end=True)
            case PlanUpdated():
                return [*self._line("plan", plan_line(event.steps))]
            case Waiting():
                line = self._line("waiting", f"waiting for {waiting_for(event)}") if self._show_waiting else []
                return [msgspec.structs.replace(delta, only_waits=True) for delta in line]
            case ToolCalled():
                self._calls += 1
                return [Call(self._calls - 1, event.call_id, event.name, event.arguments, event.name in self._freeform_tools)]
            case TurnCompleted():
                rest = self._limit.rest()
                end = Finish(self._limit.reached or ("tool_calls" if self._calls else "stop"), event.usage)
                return [Content(rest), end] if rest else [end]
            case TurnFailed():
                return [Finish(self._limit.reached, event.usage) if self._limit.reached else Failure(event.error)]
            case TurnStarted() | MessageCompleted() | ReasoningStarted() | ReasoningCompleted() | WorkProgress() | Recorded():
                return []
            case _:
                assert_never(event)

    def _message(self, event: MessageDelta) -> list[Delta]:
        if event.item in self._commentary:
            return self._reason(event.item, 0, event.text) if self._show_reasoning else []
        if self.enough:
            return []
        first_of_another = self._content_item not in (None, event.item)
        self._content_item = event.item
        shown = self._limit.feed((_BREAK if first_of_another else "") + event.text)
        return [Content(shown)] if shown else []

    def _reason(self, item: str, part: int, text: str) -> list[Delta]:
        breaks = self._reasoning_part not in (None, (item, part))
        self._reasoning_part = (item, part)
        return [Reasoning((_BREAK if breaks else "") + text)]

    def _work(self, item: str, work: Work, *, at_end: bool) -> list[Delta]:
        # One line each: for a command when it begins, for a patch or search when its details are known.
        if isinstance(work, Patch | Search) is not at_end:
            return []
        return [*self._line(item, work_line(work))]

    def _line(self, item: str, line: str) -> list[Reasoning]:
        if not self._show_activity:
            return []
        begins = "\n" if self._reasoning_part is not None else ""
        self._reasoning_part = (item, -1)
        return [Reasoning(f"{begins}{line}")]
