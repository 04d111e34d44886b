"""What stands between a turn's events and a dialect where the answer must be JSON: the same for both."""

from codex_proxy.dialects.final_only import FinalOnly
from codex_proxy.dialects.optional_nulls import WithoutNulls
from codex_proxy.turns import Mode, TurnEvent


class AnswerFilter:
    """Of one turn. `optional`: the properties whose null means that they are not there."""

    def __init__(self, mode: Mode, *, json: bool, optional: frozenset[str]) -> None:
        self._final_only = FinalOnly() if json and mode == "agent" else None
        self._without_nulls = WithoutNulls(optional) if optional else None

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        """What to show now."""
        events = self._final_only.feed(event) if self._final_only else [event]
        if self._without_nulls is None:
            return events
        return [shown for one in events for shown in self._without_nulls.feed(one)]
