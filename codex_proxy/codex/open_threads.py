"""OpenThreads: which threads the workers of a server have loaded that a turn may go on with, and where each stands.

A thread has one writer: a process that has loaded it keeps all others out until it has deleted it, or has ended. What a
thread has left on disk is deleted with it; by then its trace is kept elsewhere. An ephemeral one cannot be deleted
(0.147.0 to 0.169.0): it goes with its process.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from codex_proxy.codex import wire
from codex_proxy.codex.connection import Connection
from codex_proxy.codex.tail import Tail
from codex_proxy.codex.thread import Recipe
from codex_proxy.errors import WorkerFailed

_LOOKS, _BETWEEN_LOOKS = 250, 0.002  # seconds; thread/delete takes 5 to 30 ms until the file is gone
_LOOKS_AT_THE_END = 100  # for all of a process that ends: it must not live on for long
_OVER_WITHIN = 1.0  # seconds; when a turn has been told as ended, what its commands have left is still looked for
MOST_OPEN = 16  # threads of one worker, each a megabyte


class OpenThread:
    """A thread that a worker has loaded. `stands_at`: where it does; None while nothing may go on from there."""

    def __init__(self, thread_id: str, path: Path | None, recipe: Recipe, connection: Connection) -> None:
        self.id = thread_id
        self.path = path
        self.recipe = recipe
        self.connection = connection
        self.idle = asyncio.Event()  # no turn runs on it
        self.idle.set()
        self.used = 0.0  # monotonic seconds
        self.service_tier: str | None = None  # of the latest turn: Codex goes on with it until told otherwise
        self.stands_at: str | None = None  # the id of the trace
        self.totals = wire.Tokens()
        self.tail: Tail | None = None  # of a resumed one
        self.documents = ""  # of the project, as it was last told of them

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else "on disk"
        return f"<OpenThread {self.id} {'idle' if self.idle.is_set() else 'running'}, {where}>"

    async def delete(self) -> bool:
        """Have its process let go of it, and wait until it has; False when it does not. Raises WorkerFailed."""
        if self.path is None:
            return True
        await self.connection.post("thread/delete", {"threadId": self.id})
        return await _gone([self.path], _LOOKS)


class OpenThreads:
    """Those of all workers of a server."""

    def __init__(self) -> None:
        self._all: dict[str, OpenThread] = {}  # the least recently used first
        self._closing: dict[str, asyncio.Event] = {}  # of those that their process is deleting
        self._reserved: set[str] = set()  # somebody is about to load them

    def get(self, thread_id: str) -> OpenThread | None:
        return self._all.get(thread_id)

    @contextmanager
    def in_use(self, thread: OpenThread, *, kept: bool) -> Iterator[None]:
        """A turn runs on it until the block ends; where it is `kept`, another may go on with it."""
        if kept:
            self._all.pop(thread.id, None)
            self._all[thread.id] = thread
        thread.used = time.monotonic()
        thread.stands_at = None
        thread.idle.clear()
        try:
            yield
        finally:
            thread.idle.set()

    @asynccontextmanager
    async def reserved(self, thread_id: str) -> AsyncIterator[bool]:
        """Have it loaded nowhere, and by nobody else before the block ends. Raises WorkerFailed.

        Yields False when it cannot be had: a turn runs on it, somebody else is about to load it, or its process keeps it.
        """
        free = await self._closed(thread_id)
        if free:
            self._reserved.add(thread_id)
        try:
            yield free
        finally:
            if free:
                self._reserved.discard(thread_id)

    async def _closed(self, thread_id: str) -> bool:
        while (closing := self._closing.get(thread_id)) is not None:
            await closing.wait()
        thread = self._all.get(thread_id)
        if thread is None:
            return thread_id not in self._reserved
        if thread.stands_at is not None:  # its turn is over, or nearly so
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_OVER_WITHIN):
                    await thread.idle.wait()
            if self._all.get(thread_id) is not thread:  # meanwhile
                return await self._closed(thread_id)
        return thread.idle.is_set() and await self._close(thread)

    async def _close(self, thread: OpenThread) -> bool:
        with self._let_go([thread]):
            return await thread.delete()

    @contextmanager
    def _let_go(self, threads: Sequence[OpenThread]) -> Iterator[None]:
        """While their process deletes them: until then nobody may write their rollouts anew."""
        over = asyncio.Event()
        for thread in threads:
            del self._all[thread.id]
            self._closing[thread.id] = over
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                del self._closing[thread.id]

    async def close_surplus(self, connection: Connection) -> None:
        """Close what one worker has loaded beyond its bound, the least recently used first. Raises WorkerFailed."""
        own = [thread for thread in self._all.values() if thread.connection is connection and thread.path is not None]
        for thread in own[: max(0, len(own) - MOST_OPEN)]:
            await self._closed(thread.id)

    async def close_old(self, lifetime: float) -> None:
        """Close those that no turn has used for so many seconds. Raises WorkerFailed."""
        limit = time.monotonic() - lifetime
        for thread in [thread for thread in self._all.values() if thread.used < limit and thread.idle.is_set()]:
            await self._closed(thread.id)

    async def close_all(self, connection: Connection) -> None:
        """Its process is about to end: have it forget its threads, and remove what is left of them on disk."""
        own = [thread for thread in self._all.values() if thread.connection is connection]
        paths = [thread.path for thread in own if thread.path is not None]
        with self._let_go(own):
            with contextlib.suppress(WorkerFailed):
                for thread in own:
                    if thread.path is not None:
                        await connection.post("thread/delete", {"threadId": thread.id})
                await _gone(paths, _LOOKS_AT_THE_END)
            for path in paths:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


async def _gone(paths: Sequence[Path], looks: int) -> bool:
    """Wait until they are, but not for ever: the CLI's answer waits until somebody reads its lines."""
    for _ in range(looks):
        if not any(map(_is_there, paths)):
            return True
        await asyncio.sleep(_BETWEEN_LOOKS)
    return False


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)
