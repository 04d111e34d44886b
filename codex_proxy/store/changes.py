"""Changes: waiters for changes of a record or claim, and recent changes; `redis` feeds it."""

import asyncio
import contextlib
from collections.abc import Iterable

_RECHECK = 0.5  # seconds, the longest wait that may have missed its change
_MISSED = 30.0  # seconds between a caller's read and its wait in which it may miss a change: as long as a slow client takes


class Changes:
    """Waiters by name, and the names that changed recently."""

    def __init__(self) -> None:
        self.listening = False  # if False, any wait may miss its change
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._lately: dict[str, float] = {}  # name -> time of its last change, oldest first

    def begin(self) -> None:
        """Start hearing every change; earlier ones may have been missed."""
        self.listening = True
        for waiting in self._waiting.values():
            _wake(waiting)

    def hear(self, name: str) -> None:
        now = asyncio.get_running_loop().time()
        self._lately.pop(name, None)
        self._lately[name] = now
        while self._lately[oldest := next(iter(self._lately))] < now - _MISSED:
            del self._lately[oldest]
        _wake(self._waiting.get(name, ()))

    async def wait(self, name: str, timeout: float) -> None:
        last = self._lately.get(name, -_MISSED)
        if not self.listening or last > asyncio.get_running_loop().time() - _MISSED:
            timeout = min(timeout, _RECHECK)
        woken = asyncio.Event()
        waiting = self._waiting.setdefault(name, set())
        waiting.add(woken)
        try:
            async with asyncio.timeout(timeout):
                await woken.wait()
        except TimeoutError:
            return
        finally:
            waiting.discard(woken)
            if not waiting:
                self._waiting.pop(name, None)


def _wake(waiting: Iterable[asyncio.Event]) -> None:
    for woken in waiting:
        woken.set()


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, but not longer; whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
