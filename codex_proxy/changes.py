"""A signal that something has changed, for those who display it. It does not say what."""

import asyncio
import contextlib


class Changes:
    """Counts changes and wakes waiters. Waiters pass the number they last saw, so none misses a change before it waits."""

    def __init__(self) -> None:
        self.number = 0
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Signal a change. Costs next to nothing while nobody waits."""
        self.number += 1
        self._rung.set()

    async def after(self, number: int, timeout: float) -> None:
        """Wait for a change after the one with this number, but at most `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.number <= number:
                    self._rung.clear()
                    await self._rung.wait()
