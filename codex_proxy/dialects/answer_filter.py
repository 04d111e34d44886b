"""The filters between a turn's events and a dialect for answers that must be JSON; shared by both dialects."""

from codex_proxy.dialects.final_only import FinalOnly
from codex_proxy.dialects.optional_nulls import WithoutNulls
from codex_proxy.turns import Mode, TurnEvent


class AnswerFilter:
    """Filters the events of one turn. `optional` names the properties for which null means absent.

    Without commands too a model in code mode runs scripts, and may say something before one. Where the JSON is `held` back until
    it is complete, that is kept out of it; where the provider enforces it, all that the model says is such JSON.
    """

    def __init__(self, mode: Mode, *, json: bool, held: bool, optional: frozenset[str]) -> None:
        self._final_only = FinalOnly() if json and (held or mode == "agent") else None
        self._without_nulls = WithoutNulls(optional) if optional else None

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        """Filter one event; returns the events to pass on now."""
        events = self._final_only.feed(event) if self._final_only else [event]
        if self._without_nulls is None:
            return events
        return [shown for one in events for shown in self._without_nulls.feed(one)]
