"""Rates: requests per caller in the last minute, of this process alone, on the monotonic clock."""

import time
from collections import deque

import msgspec


class Hit(msgspec.Struct, frozen=True):
    """A counted or refused request. `reset` is the seconds until the oldest request leaves the window."""

    granted: bool
    remaining: int
    reset: float


class Rates:
    """Counts requests in a sliding window."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._times: dict[str, deque[float]] = {}  # the most recent caller is last

    def hit(self, caller: str, amount: int) -> Hit:
        """Count a request if there were fewer than `amount` in the window."""
        now = time.monotonic()
        times = self._of(caller, now)
        granted = len(times) < amount
        if granted:
            times.append(now)
        return Hit(granted, max(0, amount - len(times)), times[0] + self._window - now if times else 0.0)

    def note(self, caller: str) -> None:
        """Count a request that was granted elsewhere."""
        now = time.monotonic()
        self._of(caller, now).append(now)

    def _of(self, caller: str, now: float) -> deque[float]:
        while self._times and (not (oldest := next(iter(self._times.values()))) or oldest[-1] <= now - self._window):
            del self._times[next(iter(self._times))]
        times = self._times[caller] = self._times.pop(caller, deque())
        while times and times[0] <= now - self._window:
            times.popleft()
        return times
