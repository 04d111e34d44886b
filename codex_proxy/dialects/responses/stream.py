"""TurnEvents -> the events of a Responses stream, and the response object that they add up to. Pure.

Items may overlap, and each keeps its output_index; those still open when the turn ends are closed as incomplete.
"""

import itertools
from typing import assert_never

import msgspec

from codex_proxy.dialects.common import waiting_for
from codex_proxy.dialects.limit import TextLimit
from codex_proxy.dialects.responses import compaction, events, item_ids
from codex_proxy.dialects.responses.builders import (
    CompactionBuilder,
    MessageBuilder,
    Place,
    ReasoningBuilder,
    WorkBuilder,
    call_at_once,
    call_events,
)
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.items import ItemStatus, OutputItem
from codex_proxy.dialects.responses.objects import IncompleteDetails, Response, ResponseError, ResponseUsage, named
from codex_proxy.dialects.responses.updates import Compacted
from codex_proxy.errors import ProxyError
from codex_proxy.history import Verbatim
from codex_proxy.turns import (
    AfterWaiting,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    PlanUpdated,
    ReasoningCompleted,
    ReasoningDelta,
    ReasoningStarted,
    Recorded,
    ToolCalled,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    Usage,
    Waiting,
    WorkCompleted,
    WorkProgress,
    WorkStarted,
)

_Builder = MessageBuilder | ReasoningBuilder | WorkBuilder | CompactionBuilder
_SUMMARY = "summary"


class ResponsesStream:
    """The stream of one turn. Once `enough` is true, the client has all it asked for and the turn should be interrupted.

    `response` is the current object; `failure` is why the turn failed, if it did.
    """

    def __init__(
        self,
        blank: Response,
        *,
        freeform_tools: frozenset[tuple[str | None, str]] = frozenset(),
        show_reasoning: bool = True,
        show_encrypted: bool = False,
        show_activity: bool = True,
        show_waiting: bool = False,
        compacts: bool = False,
    ) -> None:
        """With `compacts`, the model's text becomes the summary of a compaction item, and nothing else is shown."""
        self.response = blank
        self.failure: ProxyError | None = None
        self.recorded: list[Verbatim | Compacted] = []  # for a continuation
        self.only_waits = True  # nothing was reported yet but that the turn is waiting
        self._limit = TextLimit((), blank.max_output_tokens)
        self._freeform_tools = freeform_tools
        self._compacts = compacts
        self._show_reasoning = show_reasoning and not compacts
        self._show_encrypted = show_encrypted and not compacts
        self._show_activity = show_activity and not compacts
        self._show_waiting = show_waiting
        self.steered = False  # the turn was interrupted because its client has more to say
        self._cut: str | None = None  # the message in which the limit was reached
        self._numbers = itertools.count()
        self._open: dict[str, tuple[int, _Builder]] = {}  # the turn's name of an item -> its index, its builder
        self._output: dict[int, OutputItem] = {}  # closed items
        self._indices = itertools.count()

    @property
    def enough(self) -> bool:
        return self._limit.reached is not None

    def number(self) -> int:
        """Take the next sequence number, for an event from elsewhere."""
        return next(self._numbers)

    def first(self) -> list[StreamEvent]:
        """Return the events that precede all others. A queued response begins with the turn's first event."""
        created = events.Created(sequence_number=next(self._numbers), response=self.response)
        if self.response.status == "queued":
            return [created, events.Queued(sequence_number=next(self._numbers), response=self.response)]
        return [created, self._begin()]

    def trouble(self, error: ProxyError) -> StreamEvent:
        """Return the event that ends the stream when something other than the turn failed."""
        return events.Error(sequence_number=next(self._numbers), code=error.code, message=error.told, param=error.param)

    def cancel(self, now: int, usage: Usage | None = None) -> list[StreamEvent]:
        """End a cancelled turn; returns its last events."""
        self.only_waits = False
        closing = self._close_all()
        self._settle(usage, now)
        self.response = msgspec.structs.replace(self.response, status="cancelled", completed_at=None)
        return [*closing, events.Incomplete(sequence_number=next(self._numbers), response=self.response)]

    def feed(self, event: TurnEvent, now: int) -> list[StreamEvent]:
        """Return the stream events for one event; `now` is in seconds since the epoch, for the end."""
        if isinstance(event, Waiting):
            return self._waits(event)
        begins = self.response.status == "queued" and not isinstance(event, TurnFailed)
        told = [*([self._begin()] if begins else ()), *self._told(event, now)]
        self.only_waits = self.only_waits and not told
        return told

    def _begin(self) -> StreamEvent:
        self.response = msgspec.structs.replace(self.response, status="in_progress")
        return events.InProgress(sequence_number=next(self._numbers), response=self.response)

    def _waits(self, event: Waiting) -> list[StreamEvent]:
        """Report waiting as a call that completes at once, only in streams. `queued` already says it while no worker is free."""
        if not (self._show_waiting and self._show_activity) or self.response.status == "queued":
            return []
        return self._call_at_once("wait", {"for": waiting_for(event)})

    def _told(self, event: AfterWaiting, now: int) -> list[StreamEvent]:
        match event:
            case MessageStarted():
                return [] if self.enough else [*self._close(event.item), *self._begin_message(event)]
            case MessageDelta():
                return self._message_delta(event)
            case MessageCompleted() if not isinstance(self._open.get(event.item, (0, None))[1], MessageBuilder):
                return []
            case MessageCompleted():
                return self._close(event.item, "incomplete" if event.item == self._cut else "completed")
            case ReasoningStarted() | ReasoningDelta() | ReasoningCompleted():
                return self._reason(event) if self._show_reasoning or self._show_encrypted else []
            case WorkStarted() | WorkCompleted() | PlanUpdated():
                return self._work(event)
            case ToolCalled():
                index = next(self._indices)
                freeform = (event.namespace, event.name) in self._freeform_tools
                place = self._place(index, "ctc" if freeform else "fc")
                told, self._output[index] = call_events(place, event, freeform=freeform)
                return told
            case TurnCompleted(interrupted=False) if self._compacts and not self.enough:
                return self._compact(event, now)
            case TurnCompleted(interrupted=True) if not (self.enough or self.steered):  # it was stopped, by an operator perhaps
                return self.cancel(now, event.usage)
            case TurnCompleted():
                return [*self._close_all(), self._end(event.usage, now, steered=self.steered and event.interrupted)]
            case TurnFailed():
                return [*self._close_all(), self._fail(event, now)]
            case Recorded():
                self.recorded += () if self._compacts else (event.item,)
                return []
            case TurnStarted() | WorkProgress():
                return []
            case _:
                assert_never(event)

    def _place(self, index: int, prefix: str) -> Place:
        return Place(self._numbers, index, item_ids.of_output(prefix, self.response.id, index))

    def _begin_message(self, event: MessageStarted) -> list[StreamEvent]:
        if self._compacts:
            return self._begin_summary(event)
        index = next(self._indices)
        builder = MessageBuilder(self._place(index, "msg"), event.phase)
        self._open[event.item] = (index, builder)
        return builder.open()

    def _begin_summary(self, event: MessageStarted) -> list[StreamEvent]:
        _, builder = self._open.get(_SUMMARY, (0, None))
        if isinstance(builder, CompactionBuilder):
            return builder.begin(event.item)
        index = next(self._indices)
        opened = CompactionBuilder(self._place(index, "cmp"))
        self._open[_SUMMARY] = (index, opened)
        return [*opened.open(), *opened.begin(event.item)]

    def _message_delta(self, event: MessageDelta) -> list[StreamEvent]:
        _, builder = self._open.get(_SUMMARY if self._compacts else event.item, (0, None))
        if not isinstance(builder, MessageBuilder | CompactionBuilder):
            return []
        shown = self._limit.feed(event.text)
        if self._limit.reached and self._cut is None:
            self._cut = event.item
        if not shown:
            return []
        return builder.delta(shown) if isinstance(builder, MessageBuilder) else builder.delta(event.item, shown)

    def _compact(self, event: TurnCompleted, now: int) -> list[StreamEvent]:
        index, builder = self._open.pop(_SUMMARY, (0, None))
        if not isinstance(builder, CompactionBuilder) or not builder.summary.strip():
            return [self._fail(TurnFailed(compaction.without_summary(), event.usage), now)]
        told, self._output[index] = builder.close()
        self.recorded.append(Compacted(builder.summary))
        return [*told, self._end(event.usage, now)]

    def _reason(self, event: ReasoningStarted | ReasoningDelta | ReasoningCompleted) -> list[StreamEvent]:
        told: list[StreamEvent] = []
        if event.item not in self._open:
            index = next(self._indices)
            place = Place(self._numbers, index, item_ids.of_reasoning(self.response.id, index, event.item))
            opened = ReasoningBuilder(place, show_encrypted=self._show_encrypted)
            self._open[event.item] = (index, opened)
            told = opened.open()
        _, builder = self._open[event.item]
        if isinstance(event, ReasoningDelta) and isinstance(builder, ReasoningBuilder) and self._show_reasoning:
            told += builder.delta(event.part, event.text, raw=event.raw)
        if isinstance(event, ReasoningCompleted) and isinstance(builder, ReasoningBuilder):
            index, _ = self._open.pop(event.item)
            closing, self._output[index] = builder.close(event.encrypted)
            told += closing
        return told

    def _work(self, event: WorkStarted | WorkCompleted | PlanUpdated) -> list[StreamEvent]:
        if not self._show_activity:
            return []
        if isinstance(event, PlanUpdated):
            steps = [{"step": step, "status": status} for step, status in event.steps]
            return self._call_at_once("update_plan", {"plan": steps})
        told: list[StreamEvent] = []
        if event.item not in self._open:
            index = next(self._indices)
            prefix = "ws" if event.work.__struct_config__.tag == "search" else "mcp"
            opened = WorkBuilder(self._place(index, prefix), event.work)
            self._open[event.item] = (index, opened)
            told = opened.open()
        if isinstance(event, WorkCompleted):
            index, builder = self._open[event.item]
            if isinstance(builder, WorkBuilder):
                del self._open[event.item]
                closing, self._output[index] = builder.close(event.work)
                told += closing
        return told

    def _call_at_once(self, name: str, given: dict[str, object]) -> list[StreamEvent]:
        index = next(self._indices)
        told, self._output[index] = call_at_once(self._place(index, "mcp"), name, given)
        return told

    def _close(self, name: str, status: ItemStatus = "incomplete") -> list[StreamEvent]:
        """Close an item early, or a message at its end; a no-op if it is not open."""
        index, builder = self._open.pop(name, (0, None))
        if builder is None:
            return []
        told, self._output[index] = builder.close(status) if isinstance(builder, MessageBuilder) else builder.close()
        return told

    def _close_all(self) -> list[StreamEvent]:
        told: list[StreamEvent] = []
        for index, builder in self._open.values():
            if isinstance(builder, CompactionBuilder):
                continue  # half a summary is useless
            closing, self._output[index] = builder.close()
            told += closing
        self._open.clear()
        return told

    def _end(self, usage: Usage | None, now: int, *, steered: bool = False) -> StreamEvent:
        self._settle(usage, now)
        if self._limit.reached or steered:
            details = IncompleteDetails("max_output_tokens" if self._limit.reached else "steered")
            self.response = msgspec.structs.replace(
                self.response, status="incomplete", incomplete_details=details, completed_at=None
            )
            return events.Incomplete(sequence_number=next(self._numbers), response=self.response)
        self.response = msgspec.structs.replace(self.response, status="completed")
        return events.Completed(sequence_number=next(self._numbers), response=self.response)

    def _fail(self, event: TurnFailed, now: int) -> StreamEvent:
        if self._limit.reached:
            return self._end(event.usage, now)
        self.failure = named(event.error)
        self._settle(event.usage, now)
        error = ResponseError.of(event.error)
        self.response = msgspec.structs.replace(self.response, status="failed", error=error, completed_at=None)
        return events.Failed(sequence_number=next(self._numbers), response=self.response)

    def _settle(self, usage: Usage | None, now: int) -> None:
        self.response = msgspec.structs.replace(
            self.response,
            completed_at=now,
            output=tuple(self._output[index] for index in sorted(self._output)),
            usage=ResponseUsage.of(usage) if usage else None,
        )
