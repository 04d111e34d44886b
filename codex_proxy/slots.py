"""Slots: how many do something costly at once, and how many of them are one caller's, so that no caller has all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from codex_proxy.errors import ServerFull

_WAIT_TIMEOUT = 20.0  # seconds
_RETRY_AFTER = 5.0  # seconds


class Slots:
    """Slots for `what`, as a client is told it. A caller that waits for its own slot takes none of the others'."""

    def __init__(self, what: str, most: int, of_one_caller: int, wait_timeout: float = _WAIT_TIMEOUT) -> None:
        self._problem = f"Too many {what}: {most} at once, and {of_one_caller} for each caller. Try again."
        self._all = asyncio.Semaphore(most)
        self._of_one_caller = of_one_caller
        self._own = WeakValueDictionary[str, asyncio.Semaphore]()  # of callers that have one or wait
        self._wait_timeout = wait_timeout

    @asynccontextmanager
    async def one(self, caller: str) -> AsyncIterator[None]:
        """Hold a slot. Raises ServerFull when none gets free in time."""
        own = self._own.setdefault(caller, asyncio.Semaphore(self._of_one_caller))
        try:
            async with asyncio.timeout(self._wait_timeout):
                await own.acquire()
                try:
                    await self._all.acquire()
                except BaseException:
                    own.release()
                    raise
        except TimeoutError as error:
            raise ServerFull(self._problem, retry_after=_RETRY_AFTER) from error
        try:
            yield
        finally:
            self._all.release()
            own.release()
