"""What a turn demands of the model's answer, and the reminder sent once when the answer does not meet it.

The answer is held back until it is known to meet the demand; the second answer is passed on whatever it is.
"""

import asyncio
from typing import Protocol

from codex_proxy import json_answers
from codex_proxy.turns import (
    MessageCompleted,
    MessageDelta,
    MessageEvent,
    MessageStarted,
    ToolCalled,
    Turn,
    TurnEnd,
    TurnEvent,
    WorkStarted,
)

_CALL = "Answer by calling one of the functions that you have been given, not with text."
_AS_JSON = "Your answer is not the JSON that you were asked for: {}. Answer again, with that JSON value and nothing else."


class Demand(Protocol):
    """What one answer of the model must be."""

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        """The events that may be passed on now. The end of the turn releases the rest."""

    async def unmet(self, *, called: bool) -> str | None:
        """At the end, the reminder for the model; None when the demand is met. `called`: it has called the client's tools."""

    def again(self) -> "Demand":
        """The demand on the second answer."""


def of(turn: Turn) -> Demand:
    if turn.must_call:
        return _Call()
    return _Json(turn.checked_schema) if turn.checked_schema is not None else _Nothing()


class _Nothing:
    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        return [event]

    async def unmet(self, *, called: bool) -> str | None:
        return None

    def again(self) -> Demand:
        return self


class _Call:
    """Demands a call to one of the client's tools; text beside it is dropped."""

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        return [] if isinstance(event, MessageEvent) else [event]

    async def unmet(self, *, called: bool) -> str | None:
        return None if called else _CALL

    def again(self) -> Demand:
        return _Nothing()


class _Json:
    """Demands that the last message is JSON that matches a schema. A code fence around it is removed."""

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._held: list[MessageEvent] = []

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        match event:
            case MessageStarted():
                before, self._held = self._held, [event]
                return list(before)
            case MessageDelta(item=item) | MessageCompleted(item=item) if self._held and item == self._held[0].item:
                self._held.append(event)
                return []
            case WorkStarted() | ToolCalled():
                before, self._held = self._held, []
                return [*before, event]
            case _ if isinstance(event, TurnEnd):
                return [*self._bare(), event]
            case _:
                return [event]

    async def unmet(self, *, called: bool) -> str | None:
        if called or not self._held:
            return None
        problem = await asyncio.to_thread(json_answers.problem, self._text(), self._schema)
        return None if problem is None else _AS_JSON.format(problem)

    def again(self) -> Demand:
        return _Json(self._schema)

    def _text(self) -> str:
        return "".join(event.text for event in self._held if isinstance(event, MessageDelta))

    def _bare(self) -> list[TurnEvent]:
        """The held events with their deltas as they came, without the fence."""
        begin, end = json_answers.span(self._text())
        shown: list[TurnEvent] = []
        at = 0
        for event in self._held:
            match event:
                case MessageDelta(item=item, text=text):
                    inside = text[max(0, begin - at) : max(0, end - at)]
                    at += len(text)
                    shown += [MessageDelta(item, inside)] if inside else []
                case MessageCompleted(item=item):
                    shown.append(MessageCompleted(item, self._text()[begin:end]))
                case MessageStarted():
                    shown.append(event)
        self._held = []
        return shown
