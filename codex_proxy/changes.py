"""Changes: a signal that something has changed, for those who show it. It does not say what."""

import asyncio
import contextlib


class Changes:
    """Any number may wait; a ring between a look and a wait is not missed, because both name the number of the last one."""

    def __init__(self) -> None:
        self.number = 0
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Something has changed. Costs next to nothing while nobody waits."""
        self.number += 1
        self._rung.set()

    async def after(self, number: int, timeout: float) -> None:
        """Wait for a ring after the one of this number, but not longer than `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.number <= number:
                    self._rung.clear()
                    await self._rung.wait()
