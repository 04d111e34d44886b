"""FinalOnly: for an answer that is to be JSON and nothing else. What an agent says on its way becomes reasoning.

A message that the model does not call its final answer is kept until it is known whether something comes after it.
"""

from codex_proxy.turns import (
    MessageCompleted,
    MessageDelta,
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
    """A filter of one turn's events: TurnEvents in, TurnEvents out, at most one message among them."""

    def __init__(self) -> None:
        self._kept: list[TurnEvent] = []  # of the one message that may or may not be the answer
        self._kept_item: str | None = None
        self._commentary: set[str] = set()

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        """What is to be shown now."""
        match event:
            case MessageStarted(phase="final_answer"):
                return [*self._as_reasoning(), event]
            case MessageStarted(item=item, phase="commentary"):
                self._commentary.add(item)
                return [*self._as_reasoning(), ReasoningStarted(item)]
            case MessageStarted(item=item):
                told = self._as_reasoning()
                self._kept, self._kept_item = [event], item
                return told
            case MessageDelta(item=item) | MessageCompleted(item=item) if item == self._kept_item:
                self._kept.append(event)
                return []
            case MessageDelta(item=item, text=text) if item in self._commentary:
                return [ReasoningDelta(item, 0, text)]
            case MessageCompleted(item=item, text=text) if item in self._commentary:
                return [ReasoningCompleted(item, (text,))]
            case WorkStarted() | ToolCalled():
                return [*self._as_reasoning(), event]
            case TurnCompleted() | TurnFailed():
                kept, self._kept, self._kept_item = self._kept, [], None
                return [*kept, event]
            case _:
                return [event]

    def _as_reasoning(self) -> list[TurnEvent]:
        item, self._kept_item = self._kept_item, None
        kept, self._kept = self._kept, []
        if item is None:
            return []
        text = "".join(event.text for event in kept if isinstance(event, MessageDelta))
        return [ReasoningStarted(item), ReasoningDelta(item, 0, text), ReasoningCompleted(item, (text,))]
