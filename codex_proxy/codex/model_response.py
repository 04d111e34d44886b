"""The current model response: how much it has said, and which of its messages may turn out to be incomplete.

When a provider breaks off, the CLI reports the partial message as completed, just like a whole one (0.147.0 to 0.169.0). Only
what follows a whole one tells them apart: another item, or the end of the response. The CLI does not report a refusal at all.
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
    """One response of the model. `said` and `thought` count its message and reasoning deltas."""

    def __init__(self) -> None:
        self.said = self.thought = 0
        self._answered = self._reasoned = False
        self._held: list[TurnEvent] = []  # held-back MessageCompleted events

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        """The events that are certain now."""
        self.said += isinstance(event, MessageDelta)
        self.thought += isinstance(event, ReasoningDelta)
        if isinstance(event, MessageCompleted):
            self._held.append(event)
            return []
        return [*self.complete(), event] if isinstance(event, _NEXT) else [event]

    def complete(self) -> list[TurnEvent]:
        """Release the message ends held back so far."""
        held, self._held = self._held, []
        return held

    def note(self, item: wire.ItemKind) -> None:
        """Note the kind of an item that the response contains."""
        self._answered = self._answered or item.role == "assistant" or item.type.endswith("_call")
        self._reasoned = self._reasoned or item.type == "reasoning"

    def swallowed(self, tokens: wire.Tokens) -> bool:
        """Whether the response has an answer that Codex did not report.

        `tokens` are those of this response; not every provider counts reasoning tokens.
        """
        counted = not self._reasoned or tokens.reasoning_output_tokens > 0
        return not self._answered and counted and tokens.output_tokens > tokens.reasoning_output_tokens
