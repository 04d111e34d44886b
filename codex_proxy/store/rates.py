"""Rates: how many requests of a caller there were in the last minute, of this process alone, by the monotonic clock."""

import time
from collections import deque

import msgspec


class Hit(msgspec.Struct, frozen=True):
    """A request that was counted, or refused. `reset`: seconds until the oldest of the window leaves it."""

    granted: bool
    remaining: int
    reset: float


class Rates:
    """Requests in a window of time that moves."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._times: dict[str, deque[float]] = {}  # the latest caller is last

    def hit(self, caller: str, amount: int) -> Hit:
        """Count a request, if there were fewer than `amount` in the window."""
        now = time.monotonic()
        times = self._of(caller, now)
        granted = len(times) < amount
        if granted:
            times.append(now)
        return Hit(granted, max(0, amount - len(times)), times[0] + self._window - now if times else 0.0)

    def note(self, caller: str) -> None:
        """Count a request that somebody else has granted."""
        now = time.monotonic()
        self._of(caller, now).append(now)

    def _of(self, caller: str, now: float) -> deque[float]:
        while self._times and (not (oldest := next(iter(self._times.values()))) or oldest[-1] <= now - self._window):
            del self._times[next(iter(self._times))]
        times = self._times[caller] = self._times.pop(caller, deque())
        while times and times[0] <= now - self._window:
            times.popleft()
        return times
