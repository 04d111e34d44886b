"""Changes: who waits for news of which record or claim, and what has changed lately; `redis` hears the news."""

import asyncio
from collections.abc import Iterable

_RECHECK = 0.5  # a wait that may have missed its change is no longer than this
_MISSED = 30.0  # a change may be missed by who has read before it and waits after it: as long as a slow client takes


class Changes:
    """Who waits for which name, and which names have changed lately."""

    def __init__(self) -> None:
        self.listening = False  # else every wait may miss its change
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._lately: dict[str, float] = {}  # name -> time of its last change, oldest first

    def begin(self) -> None:
        """From now on every change is heard; those of before may have been missed."""
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
