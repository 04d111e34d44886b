"""Ids for a conversation's calls as clients replay them, which may lack an id or share one. Pure.

Each call gets a unique id that depends only on what precedes it, so a longer conversation keeps the ids of its beginning.
"""

from collections import deque


class CallIds:
    """The call ids of one conversation; its calls and outputs must be reported in order."""

    def __init__(self) -> None:
        self._number = 0  # of the latest call
        self._taken: set[str] = set()
        self._open: dict[str, str] = {}  # our ids of unanswered calls, in order -> the client's id
        self._waiting: dict[str, deque[str]] = {}  # the same calls, by the client's id

    @property
    def open(self) -> str | None:
        """The client's id of the first unanswered call."""
        return next(iter(self._open.values()), None)

    def called(self, given: str | None) -> str:
        """Record a call; returns its id."""
        self._number += 1
        named = given or "call"
        name = given or f"call_{self._number}"
        while name in self._taken:
            name = f"{named}_{self._number}"
            named = name
        self._taken.add(name)
        self._open[name] = given or ""
        self._waiting.setdefault(given or "", deque()).append(name)
        return name

    def answered(self, given: str | None) -> str | None:
        """Record an output; returns the id of its call, or None if no call is waiting.

        Without an id, it answers the first open call.
        """
        waiting = self._waiting.get(given or "")
        if waiting:
            name = waiting.popleft()
        elif not given and self._open:
            name = next(iter(self._open))
            self._waiting[self._open[name]].popleft()
        else:
            return None
        del self._open[name]
        return name
