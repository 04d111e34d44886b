"""OpenThreads: which threads the workers of a server have loaded, and where each stands.

A thread has one writer: a process that has loaded it keeps all others out until it has deleted it, or has ended. What a
thread has left on disk is deleted with it; by then its trace is kept elsewhere.
"""

import asyncio
import contextlib
import os
import time
from pathlib import Path

from codex_proxy.codex import wire
from codex_proxy.codex.connection import Connection
from codex_proxy.codex.tail import Tail
from codex_proxy.codex.thread import Recipe
from codex_proxy.turns import Trace

_LOOKS, _BETWEEN_LOOKS = 250, 0.002  # seconds; thread/delete takes 5 to 30 ms until the file is gone
MOST_OPEN = 16  # threads of one worker, each a megabyte


class OpenThread:
    """A thread that a worker has loaded. `trace`: where it stands; None while nothing may go on from there."""

    def __init__(self, thread_id: str, path: Path | None, recipe: Recipe, connection: Connection) -> None:
        self.id = thread_id
        self.path = path
        self.recipe = recipe
        self.connection = connection
        self.running = False
        self.used = 0.0  # monotonic seconds
        self.service_tier: str | None = None  # of the latest turn: Codex goes on with it until told otherwise
        self.trace: Trace | None = None
        self.totals = wire.Tokens()
        self.tail: Tail | None = None  # of a resumed one
        self.documents = ""  # of the project, as it was last told of them

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

    def get(self, thread_id: str) -> OpenThread | None:
        return self._all.get(thread_id)

    def use(self, thread: OpenThread) -> None:
        """It is loaded, and in use now."""
        self._all.pop(thread.id, None)
        self._all[thread.id] = thread
        thread.used = time.monotonic()

    async def close(self, thread_id: str) -> bool:
        """Have it loaded nowhere; False when that cannot be, because a turn runs on it. Raises WorkerFailed."""
        thread = self._all.get(thread_id)
        if thread is None:
            return True
        if thread.running:
            return False
        del self._all[thread_id]
        await thread.delete()
        return True

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

    def forget(self, connection: Connection) -> None:
        """Its process has ended: what its threads have on disk goes too."""
        for thread in [thread for thread in self._all.values() if thread.connection is connection]:
            del self._all[thread.id]
            if thread.path is not None:
                with contextlib.suppress(OSError):
                    thread.path.unlink(missing_ok=True)


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)
