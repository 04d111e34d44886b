"""Changes of what an SQLite file holds: those of this process wake at once, and those of others are looked for."""

import asyncio
import contextlib
import time
import weakref
from collections.abc import Sequence

from codex_proxy.store.changes import set_within
from codex_proxy.store.sqlite_connections import Connections

POLL_INTERVAL = 0.2  # seconds between checks for changes by other processes
_CHANGED_AT = "SELECT changed_at FROM record WHERE id = ? UNION ALL SELECT changed_at FROM claim WHERE key = ?"


class SqliteChanges:
    """Waiters for the change of a record, by its id, or of a claim, by its key."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._awaited = weakref.WeakValueDictionary[str, asyncio.Event]()  # by what this process waits for

    def tell(self, names: Sequence[str]) -> None:
        """Wake those who wait for these."""
        for name in names:
            if change := self._awaited.pop(name, None):
                change.set()

    async def wait(self, name: str, timeout: float) -> None:
        """Wait for a change, at most `timeout` seconds.

        Returns early, after POLL_INTERVAL, if the last change is so recent that the caller may not have read it yet.
        """
        change = self._awaited.setdefault(name, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                seen = await self._changed_at(name)
                perhaps_missed = seen is None or abs(time.time_ns() - seen) < POLL_INTERVAL * 1e9
                while not await set_within(change, POLL_INTERVAL):
                    if perhaps_missed or await self._changed_at(name) != seen:
                        return

    async def _changed_at(self, name: str) -> int | None:
        rows = await self._connections.read(_CHANGED_AT, name, name)
        return rows[0][0] if rows else None
