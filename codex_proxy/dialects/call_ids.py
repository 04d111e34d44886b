"""The ids of a conversation's calls, as clients replay them: without any, or with one that several calls have. Pure.

Each call gets an id of its own, which depends only on what is before it: a longer conversation begins with the same ones.
"""

from collections import deque


class CallIds:
    """Of one conversation, told of its calls and outputs in their order."""

    def __init__(self) -> None:
        self._number = 0  # of the latest call
        self._taken: set[str] = set()
        self._open: dict[str, str] = {}  # ids of calls without an output, in their order -> what the client calls them
        self._waiting: dict[str, deque[str]] = {}  # the same, by what the client calls them

    @property
    def open(self) -> str | None:
        """The first call without an output, as the client calls it."""
        return next(iter(self._open.values()), None)

    def called(self, given: str | None) -> str:
        """The id of the next call."""
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
        """The id of the call that an output belongs to; None when none waits for it. Without an id it is the first one."""
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
