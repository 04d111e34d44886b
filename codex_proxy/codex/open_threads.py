"""The threads that a server's workers have loaded and that later turns may continue, and the state of each.

A thread has one writer: the process that loaded it locks out all others until it deletes the thread or exits. Deleting a thread
also deletes its rollout; by then its trace is kept elsewhere. An ephemeral thread cannot be deleted (0.147.0 to 0.169.0): it
lives as long as its process.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from codex_proxy.codex import wire
from codex_proxy.codex.connection import Connection
from codex_proxy.codex.tail import Tail
from codex_proxy.codex.thread import Recipe
from codex_proxy.errors import WorkerFailed

_LOOKS, _BETWEEN_LOOKS = 250, 0.002  # seconds; the file is gone 5 to 30 ms after thread/delete
_LOOKS_AT_THE_END = 100  # for all threads of a process that is about to end: it must not be delayed for long
_OVER_WITHIN = 1.0  # seconds; after the end of a turn is reported, its leftover processes are still looked for
MOST_OPEN = 16  # threads per worker; each takes about a megabyte


class OpenThread:
    """A thread loaded by a worker. `stands_at` is the id of the trace it has reached; None while no turn may continue it."""

    def __init__(self, thread_id: str, path: Path | None, recipe: Recipe, connection: Connection) -> None:
        self.id = thread_id
        self.path = path
        self.recipe = recipe
        self.connection = connection
        self.idle = asyncio.Event()  # set while no turn runs on it
        self.idle.set()
        self.used = 0.0  # monotonic seconds
        self.service_tier: str | None = None  # of the latest turn: Codex keeps it until told otherwise
        self.stands_at: str | None = None
        self.totals = wire.Tokens()
        self.tail: Tail | None = None  # for a resumed thread
        self.documents = ""  # the project's documents, as last given to the thread
        self.added: tuple[str, ...] = ()  # what the thread was given that is not the client's: see notes.py
        self.notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else "on disk"
        return f"<OpenThread {self.id} {'idle' if self.idle.is_set() else 'running'}, {where}>"

    async def delete(self) -> bool:
        """Have the process delete the thread, and wait until it has; False when it does not in time. Raises WorkerFailed."""
        if self.path is None:
            return True
        await self.connection.post("thread/delete", {"threadId": self.id})
        return await _gone([self.path], _LOOKS)


class OpenThreads:
    """The open threads of all workers of a server."""

    def __init__(self) -> None:
        self._all: dict[str, OpenThread] = {}  # by id, least recently used first
        self._closing: dict[str, asyncio.Event] = {}  # threads being deleted by their process; the event is set when that is over
        self._reserved: set[str] = set()  # ids of threads about to be loaded

    @property
    def paths(self) -> frozenset[Path]:
        """Of the rollouts that a process of ours has open."""
        return frozenset(thread.path for thread in self._all.values() if thread.path is not None)

    def get(self, thread_id: str) -> OpenThread | None:
        return self._all.get(thread_id)

    @contextmanager
    def in_use(self, thread: OpenThread, *, kept: bool) -> Iterator[None]:
        """Mark the thread as running a turn until the block ends. If `kept`, a later turn may continue it."""
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
        """Close the thread wherever it is loaded, and keep others from loading it until the block ends. Raises WorkerFailed.

        Yields False when that fails: a turn runs on it, another caller is about to load it, or its process does not delete it.
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
        if thread.stands_at is not None:  # its turn is over, or nearly
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_OVER_WITHIN):
                    await thread.idle.wait()
            if self._all.get(thread_id) is not thread:  # replaced or closed during the wait
                return await self._closed(thread_id)
        return thread.idle.is_set() and await self._close(thread)

    async def _close(self, thread: OpenThread) -> bool:
        with self._let_go([thread]):
            return await thread.delete()

    @contextmanager
    def _let_go(self, threads: Sequence[OpenThread]) -> Iterator[None]:
        """Forget the threads, and hold back their reuse until the block ends: their process may still delete their rollouts."""
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
        """Close a worker's threads beyond MOST_OPEN, least recently used first. Raises WorkerFailed."""
        own = [thread for thread in self._all.values() if thread.connection is connection and thread.path is not None]
        for thread in own[: max(0, len(own) - MOST_OPEN)]:
            await self._closed(thread.id)

    async def close_old(self, lifetime: float) -> None:
        """Close threads that no turn has used for `lifetime` seconds. Raises WorkerFailed."""
        limit = time.monotonic() - lifetime
        for thread in [thread for thread in self._all.values() if thread.used < limit and thread.idle.is_set()]:
            await self._closed(thread.id)

    async def close_all(self, connection: Connection, after: ExitStack) -> None:
        """Delete all threads of a process that is about to end, and remove what is left of them on disk.

        `after` is left once the process has ended. Until then a slow one may still delete a rollout, also one that was written
        again, so its threads are held back for as long.
        """
        own = [thread for thread in self._all.values() if thread.connection is connection]
        paths = [thread.path for thread in own if thread.path is not None]
        over = after.enter_context(ExitStack())
        over.enter_context(self._let_go(own))
        over.callback(_remove, paths)
        with contextlib.suppress(WorkerFailed):
            for thread in own:
                if thread.path is not None:
                    await connection.post("thread/delete", {"threadId": thread.id})
            if await _gone(paths, _LOOKS_AT_THE_END):
                over.close()


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


async def _gone(paths: Sequence[Path], looks: int) -> bool:
    """Wait until the files are gone, for up to `looks` checks: the CLI's answer arrives only once somebody reads its output."""
    for _ in range(looks):
        if not any(map(_is_there, paths)):
            return True
        await asyncio.sleep(_BETWEEN_LOOKS)
    return False


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)
