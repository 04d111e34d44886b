"""OpenThreads: which threads the workers of a server have loaded, and where each stands.

A thread has one writer: a process that has loaded it keeps all others out until it has deleted it, or has ended. What a
thread has left on disk is deleted with it; by then its trace is kept elsewhere.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from codex_proxy.codex import wire
from codex_proxy.codex.connection import Connection
from codex_proxy.codex.tail import Tail
from codex_proxy.codex.thread import Recipe
from codex_proxy.errors import WorkerFailed

_LOOKS, _BETWEEN_LOOKS = 250, 0.002  # seconds; thread/delete takes 5 to 30 ms until the file is gone
_LOOKS_AT_THE_END = 100  # for all of a process that ends: it must not live on for long
MOST_OPEN = 16  # threads of one worker, each a megabyte


class OpenThread:
    """A thread that a worker has loaded. `stands_at`: where it does; None while nothing may go on from there."""

    def __init__(self, thread_id: str, path: Path | None, recipe: Recipe, connection: Connection) -> None:
        self.id = thread_id
        self.path = path
        self.recipe = recipe
        self.connection = connection
        self.running = False
        self.used = 0.0  # monotonic seconds
        self.service_tier: str | None = None  # of the latest turn: Codex goes on with it until told otherwise
        self.stands_at: str | None = None  # the id of the trace
        self.totals = wire.Tokens()
        self.tail: Tail | None = None  # of a resumed one
        self.documents = ""  # of the project, as it was last told of them

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else "on disk"
        return f"<OpenThread {self.id} {'running' if self.running else 'idle'}, {where}>"

    async def delete(self) -> None:
        """Have its process let go of it, and wait until it has. Raises WorkerFailed."""
        await self.connection.post("thread/delete", {"threadId": self.id})
        if self.path is not None:
            for _ in range(_LOOKS):  # the CLI's answer waits for the reader of its lines
                if not _is_there(self.path):
                    return
                await asyncio.sleep(_BETWEEN_LOOKS)


class OpenThreads:
    """Those of all workers of a server."""

    def __init__(self) -> None:
        self._all: dict[str, OpenThread] = {}  # the least recently used first
        self._closing: dict[str, asyncio.Event] = {}  # of those that their process is deleting

    def get(self, thread_id: str) -> OpenThread | None:
        return self._all.get(thread_id)

    def use(self, thread: OpenThread) -> None:
        """It is loaded, and in use now."""
        self._all.pop(thread.id, None)
        self._all[thread.id] = thread
        thread.used = time.monotonic()

    async def close(self, thread_id: str) -> bool:
        """Have it loaded nowhere; False when that cannot be, because a turn runs on it. Raises WorkerFailed."""
        if (closing := self._closing.get(thread_id)) is not None:
            await closing.wait()
        thread = self._all.get(thread_id)
        if thread is None:
            return True
        if thread.running:
            return False
        with self._let_go([thread]):
            await thread.delete()
        return True

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
        own = [thread for thread in self._all.values() if thread.connection is connection]
        for thread in own[: max(0, len(own) - MOST_OPEN)]:
            await self.close(thread.id)

    async def close_old(self, lifetime: float) -> None:
        """Close those that no turn has used for so many seconds. Raises WorkerFailed."""
        limit = time.monotonic() - lifetime
        for thread in [thread for thread in self._all.values() if thread.used < limit]:
            await self.close(thread.id)

    async def close_all(self, connection: Connection) -> None:
        """Its process is about to end: have it forget its threads, and remove what is left of them on disk."""
        own = [thread for thread in self._all.values() if thread.connection is connection]
        paths = [thread.path for thread in own if thread.path is not None]
        with self._let_go(own):
            with contextlib.suppress(WorkerFailed):
                for thread in own:
                    await connection.post("thread/delete", {"threadId": thread.id})
                await _gone(paths, _LOOKS_AT_THE_END)
            for path in paths:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


async def _gone(paths: Sequence[Path], looks: int) -> None:
    """Wait until they are, but not for ever: the CLI's answer waits until somebody reads its lines."""
    for _ in range(looks):
        if not any(map(_is_there, paths)):
            return
        await asyncio.sleep(_BETWEEN_LOOKS)


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)
