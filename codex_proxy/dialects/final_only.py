"""FinalOnly: for answers that must be nothing but JSON. Whatever else an agent says becomes reasoning.

A message not marked as the final answer is held until it is known whether anything follows it.
"""

from codex_proxy.turns import (
    MessageCompleted,
    MessageDelta,
    MessageEvent,
    MessageStarted,
    ReasoningCompleted,
    ReasoningDelta,
    ReasoningStarted,
    ToolCalled,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    WorkStarted,
)


class FinalOnly:
    """A filter of one turn's events: TurnEvents in, TurnEvents out, with at most one message."""

    def __init__(self) -> None:
        self._answered = False  # the one message has started
        self._kept: list[MessageEvent] = []  # events of a message that may be the answer
        self._on_the_way: set[str] = set()  # items of the messages shown as reasoning

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        """Filter one event; returns the events to pass on now."""
        match event:
            case MessageStarted():
                return [*self._as_reasoning(), *self._message_started(event)]
            case MessageDelta(item=item) | MessageCompleted(item=item) if item in self._on_the_way:
                return _reasoning_of(event)
            case MessageDelta(item=item) | MessageCompleted(item=item) if self._kept and item == self._kept[0].item:
                self._kept.append(event)
                return []
            case WorkStarted() | ToolCalled():
                return [*self._as_reasoning(), event]
            case TurnCompleted() | TurnFailed():
                kept, self._kept = self._kept, []
                return [*kept, event]
            case _:
                return [event]

    def _message_started(self, event: MessageStarted) -> list[TurnEvent]:
        if event.phase == "commentary" or self._answered:
            self._on_the_way.add(event.item)
            return [ReasoningStarted(event.item)]
        if event.phase == "final_answer":
            self._answered = True
            return [event]
        self._kept = [event]
        return []

    def _as_reasoning(self) -> list[TurnEvent]:
        """Turn the held message into reasoning, and what still comes of it too: it is not the answer."""
        kept, self._kept = self._kept, []
        self._on_the_way |= {event.item for event in kept}
        return [told for event in kept for told in _reasoning_of(event)]


def _reasoning_of(event: MessageEvent) -> list[TurnEvent]:
    match event:
        case MessageStarted():
            return [ReasoningStarted(event.item)]
        case MessageDelta():
            return [ReasoningDelta(event.item, 0, event.text)]
        case MessageCompleted():
            return [ReasoningCompleted(event.item, (event.text,))]
