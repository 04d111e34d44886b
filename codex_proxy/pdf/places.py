"""Limit how many PDF files are read at once, in total and for each caller, so that no caller takes all places."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from codex_proxy.errors import ServerFull

_AT_ONCE = 2
_WAIT_TIMEOUT = 20.0  # seconds
_RETRY_AFTER = 5.0  # seconds


class Places:
    """The places of all callers. A caller waiting for its own place does not occupy one of the shared places."""

    def __init__(self, wait_timeout: float = _WAIT_TIMEOUT) -> None:
        self._all = asyncio.Semaphore(_AT_ONCE)
        self._own = WeakValueDictionary[str, asyncio.Semaphore]()  # callers that are reading or waiting
        self._wait_timeout = wait_timeout

    @asynccontextmanager
    async def one(self, caller: str) -> AsyncIterator[None]:
        """Hold a place for one file until the block ends. Raises ServerFull when none becomes free in time."""
        own = self._own.setdefault(caller, asyncio.Semaphore(1))
        try:
            async with asyncio.timeout(self._wait_timeout):
                await own.acquire()
                try:
                    await self._all.acquire()
                except BaseException:
                    own.release()
                    raise
        except TimeoutError as error:
            problem = f"Too many PDF files are being read: {_AT_ONCE} at once, and one for each caller. Try again."
            raise ServerFull(problem, retry_after=_RETRY_AFTER) from error
        try:
            yield
        finally:
            self._all.release()
            own.release()
