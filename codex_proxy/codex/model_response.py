"""The model response that is under way: how much it has said, and which of its messages may turn out to be half ones.

When a provider breaks off, the CLI tells the half message as completed, just as it tells whole ones (0.147.0 to 0.169.0). Only what
comes next tells them apart: another item, or the end of the response. Of a refusal it tells nothing at all.
"""

from codex_proxy.codex import wire
from codex_proxy.turns import (
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    ReasoningDelta,
    ReasoningStarted,
    TurnEvent,
    WorkStarted,
)

_NEXT = (MessageStarted, ReasoningStarted, WorkStarted)


class ModelResponse:
    """`said` and `thought` count its deltas."""

    def __init__(self) -> None:
        self.said = self.thought = 0
        self._answered = self._reasoned = False
        self._held: list[TurnEvent] = []  # ends of messages

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        """What is certain now."""
        self.said += isinstance(event, MessageDelta)
        self.thought += isinstance(event, ReasoningDelta)
        if isinstance(event, MessageCompleted):
            self._held.append(event)
            return []
        return [*self.complete(), event] if isinstance(event, _NEXT) else [event]

    def complete(self) -> list[TurnEvent]:
        """The ends of messages that have been held back."""
        held, self._held = self._held, []
        return held

    def note(self, item: wire.ItemKind) -> None:
        """It has this item."""
        self._answered = self._answered or item.role == "assistant" or item.type.endswith("_call")
        self._reasoned = self._reasoned or item.type == "reasoning"

    def swallowed(self, tokens: wire.Tokens) -> bool:
        """Whether it has an answer that Codex tells nothing of. `tokens` are its own; not every provider counts reasoning."""
        counted = not self._reasoned or tokens.reasoning_output_tokens > 0
        return not self._answered and counted and tokens.output_tokens > tokens.reasoning_output_tokens
