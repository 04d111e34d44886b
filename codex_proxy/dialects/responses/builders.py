"""The items of one response in progress: each builder turns the updates of its item into stream events."""

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from codex_proxy.dialects.responses import compaction, events
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.items import (
    CallStatus,
    CompactionItem,
    CustomToolCallItem,
    ErrorText,
    FunctionCallItem,
    ItemStatus,
    McpCallItem,
    OpenPageAction,
    OutputItem,
    OutputMessage,
    OutputText,
    ReasoningItem,
    ReasoningText,
    SearchAction,
    SummaryText,
    ToolExecutionError,
    WebSearchCallItem,
)
from codex_proxy.history import Phase
from codex_proxy.turns import Command, McpCall, Patch, Search, ToolCalled, Work

_E = TypeVar("_E", bound=StreamEvent)
Closed = tuple[list[StreamEvent], OutputItem]  # the last events of an item, and the finished item


class Place:
    """The position of an item: its id, its index in the output, and the counter of the stream's events."""

    def __init__(self, numbers: "itertools.count[int]", index: int, name: str) -> None:
        self.id = name
        self._numbers = numbers
        self._index = index

    def tell(self, kind: Callable[..., _E], **members: Any) -> _E:  # Any: the members of that kind of event
        """Build an event about this item."""
        return kind(sequence_number=next(self._numbers), output_index=self._index, item_id=self.id, **members)

    def added(self, item: OutputItem) -> StreamEvent:
        return events.ItemAdded(sequence_number=next(self._numbers), output_index=self._index, item=item)

    def done(self, item: OutputItem) -> StreamEvent:
        return events.ItemDone(sequence_number=next(self._numbers), output_index=self._index, item=item)


class MessageBuilder:
    """Builds a message with one text part."""

    def __init__(self, place: Place, phase: Phase | None) -> None:
        self._place = place
        self._phase = phase
        self._text: list[str] = []

    def open(self) -> list[StreamEvent]:
        return [self._place.added(self._item("in_progress", ())), self._place.tell(events.PartAdded, part=OutputText(""))]

    def delta(self, text: str) -> list[StreamEvent]:
        self._text.append(text)
        return [self._place.tell(events.TextDelta, delta=text)]

    def close(self, status: ItemStatus = "incomplete") -> Closed:
        text = "".join(self._text)
        part = OutputText(text)
        item = self._item(status, (part,))
        done = self._place.tell(events.TextDone, text=text)
        return [done, self._place.tell(events.PartDone, part=part), self._place.done(item)], item

    def _item(self, status: ItemStatus, content: tuple[OutputText, ...]) -> OutputMessage:
        return OutputMessage(self._place.id, status, content, phase=self._phase or msgspec.UNSET)


class CompactionBuilder:
    """Builds a compaction item, whose summary is sent when it is complete."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._texts: dict[str, str] = {}  # by message

    @property
    def summary(self) -> str:
        return "".join(self._texts.values())

    def open(self) -> list[StreamEvent]:
        return [self._place.added(CompactionItem(self._place.id, ""))]

    def begin(self, message: str) -> list[StreamEvent]:
        """Start a message, or start it anew."""
        self._texts[message] = ""
        return [self._place.tell(events.Compacting)]

    def delta(self, message: str, text: str) -> list[StreamEvent]:
        self._texts[message] = self._texts.get(message, "") + text
        return [self._place.tell(events.Compacting)]

    def close(self) -> Closed:
        item = compaction.item(self.summary, self._place.id)
        return [self._place.done(item)], item


class ReasoningBuilder:
    """Builds reasoning: the parts of a summary and, if the client wants it, the reasoning itself as one content part."""

    def __init__(self, place: Place, *, show_encrypted: bool) -> None:
        self._place = place
        self._show_encrypted = show_encrypted
        self._summary: list[str] = []
        self._part: int | None = None  # Codex's number of the open part
        self._raw: list[str] = []

    def open(self) -> list[StreamEvent]:
        return [self._place.added(ReasoningItem(self._place.id))]

    def delta(self, part: int, text: str, *, raw: bool) -> list[StreamEvent]:
        if raw:
            return self._raw_delta(text)
        told: list[StreamEvent] = []
        if part != self._part:
            told += self._close_part()
            self._part = part
            self._summary.append("")
            told.append(self._tell_part(events.SummaryPartAdded, part=SummaryText("")))
        self._summary[-1] += text
        return [*told, self._tell_part(events.SummaryDelta, delta=text)]

    def close(self, encrypted: str | None = None) -> Closed:
        told = self._close_part()
        raw = ReasoningText("".join(self._raw))
        if self._raw:
            told += [self._place.tell(events.ReasoningDone, text=raw.text), self._place.tell(events.PartDone, part=raw)]
        item = ReasoningItem(
            self._place.id,
            tuple(SummaryText(text) for text in self._summary),
            (raw,) if self._raw else msgspec.UNSET,
            encrypted if self._show_encrypted and encrypted is not None else msgspec.UNSET,
        )
        return [*told, self._place.done(item)], item

    def _raw_delta(self, text: str) -> list[StreamEvent]:
        opened = [] if self._raw else [self._place.tell(events.PartAdded, part=ReasoningText(""))]
        self._raw.append(text)
        return [*opened, self._place.tell(events.ReasoningDelta, delta=text)]

    def _close_part(self) -> list[StreamEvent]:
        if self._part is None:
            return []
        self._part = None
        text = self._summary[-1]
        return [
            self._tell_part(events.SummaryDone, text=text),
            self._tell_part(events.SummaryPartDone, part=SummaryText(text)),
        ]

    def _tell_part(self, kind: Callable[..., _E], **members: Any) -> _E:  # Any: as in Place.tell
        return self._place.tell(kind, summary_index=len(self._summary) - 1, **members)


class WorkBuilder:
    """Builds work of the agent itself: an mcp_call of the server "codex", or a web search run by the provider."""

    def __init__(self, place: Place, work: Work) -> None:
        self._place = place
        self._work = work

    def open(self) -> list[StreamEvent]:
        told = [self._place.added(self._item("in_progress"))]
        if isinstance(self._work, Search):
            return [*told, self._place.tell(events.SearchInProgress), self._place.tell(events.Searching)]
        _, arguments = _call_of(self._work)
        return [
            *told,
            self._place.tell(events.McpInProgress),
            self._place.tell(events.McpArgumentsDelta, delta=arguments),
            self._place.tell(events.McpArgumentsDone, arguments=arguments),
        ]

    def close(self, work: Work | None = None) -> Closed:
        """Close the item with the finished work; None means that the work was cut off."""
        if work is not None and isinstance(work, Search) is isinstance(self._work, Search):
            self._work = work
        item = self._item("incomplete" if work is None else "completed")
        if isinstance(self._work, Search):
            return [self._place.tell(events.SearchCompleted), self._place.done(item)], item
        ended = self._place.tell(events.McpCompleted if item.status == "completed" else events.McpFailed)
        return [ended, self._place.done(item)], item

    def _item(self, status: CallStatus) -> McpCallItem | WebSearchCallItem:
        if isinstance(self._work, Search):
            page = self._work.action != "search"
            action = OpenPageAction(self._work.query) if page else SearchAction(self._work.query)
            return WebSearchCallItem(self._place.id, "failed" if status == "incomplete" else _search_status(status), action)
        name, arguments = _call_of(self._work)
        if status == "in_progress":
            return McpCallItem(self._place.id, name, "", status)
        output, problem = _outcome(self._work)
        error = ToolExecutionError((ErrorText(problem),)) if problem is not None else None
        return McpCallItem(self._place.id, name, arguments, "failed" if error else status, output, error)


def call_events(place: Place, call: ToolCalled, *, freeform: bool) -> Closed:
    """Return the events and the item of a client tool call, which arrives whole."""
    group = call.namespace or msgspec.UNSET
    if freeform:
        blank = CustomToolCallItem(place.id, call.call_id, call.name, "", "in_progress", group)
        custom = msgspec.structs.replace(blank, input=call.arguments, status="completed")
        return [
            place.added(blank),
            place.tell(events.InputDelta, delta=call.arguments),
            place.tell(events.InputDone, input=call.arguments),
            place.done(custom),
        ], custom
    added = FunctionCallItem(place.id, call.call_id, call.name, "", "in_progress", group)
    item = msgspec.structs.replace(added, arguments=call.arguments, status="completed")
    return [
        place.added(added),
        place.tell(events.ArgumentsDelta, delta=call.arguments),
        place.tell(events.ArgumentsDone, name=call.name, arguments=call.arguments),
        place.done(item),
    ], item


def _search_status(status: CallStatus) -> Any:  # Any: a Literal that the two item kinds share
    return "completed" if status == "completed" else "in_progress"


def _call_of(work: Command | Patch | McpCall) -> tuple[str, str]:
    """Return the name and the arguments that represent the agent's work."""
    match work:
        case Command():
            return "shell", _json({"command": work.command})
        case Patch():
            changes = [{"path": path, "kind": kind, "diff": diff} for path, kind, diff in work.changes]
            return "apply_patch", _json({"changes": changes})
        case McpCall():
            return f"{work.server}.{work.tool}", work.arguments


def _outcome(work: Command | Patch | McpCall) -> tuple[str | None, str | None]:
    """Return the output and the error of the work."""
    match work:
        case Command():
            problem = None if work.exit_code in (0, None) else f"exit code {work.exit_code}"
            return work.output, problem
        case Patch():
            return None, None if work.succeeded else "the patch was not applied"
        case McpCall():
            return work.result, work.error


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


def call_at_once(place: Place, name: str, given: dict[str, object]) -> Closed:
    """Return the events and the item of an agent call that completes at once."""
    arguments = msgspec.json.encode(given).decode()
    added = McpCallItem(place.id, name, "", "in_progress")
    item = msgspec.structs.replace(added, arguments=arguments, status="completed")
    told = [
        place.added(added),
        place.tell(events.McpInProgress),
        place.tell(events.McpArgumentsDelta, delta=arguments),
        place.tell(events.McpArgumentsDone, arguments=arguments),
        place.tell(events.McpCompleted),
        place.done(item),
    ]
    return told, item
