"""The store in one SQLite file, for the processes of one machine.

`sqlite_connections` is how it is written and read, `sqlite_changes` how a change is heard of. The bound is on the pages in use,
which SQLite counts itself, so it holds for the file and all its writers.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
import msgspec

from codex_proxy.errors import RecordEnded
from codex_proxy.store import base, sql, sqlite_file
from codex_proxy.store.base import (
    ENDED_MESSAGE,
    RUNNING,
    Amendment,
    Change,
    Claim,
    Extent,
    Listed,
    Order,
    Record,
    StoredEvent,
    StoredTrace,
)
from codex_proxy.store.file_lock import HolderLocks
from codex_proxy.store.rates import Hit
from codex_proxy.store.sqlite_bounds import forget_surplus
from codex_proxy.store.sqlite_changes import SqliteChanges
from codex_proxy.store.sqlite_connections import Connections
from codex_proxy.store.sqlite_file import run

EVENTS_AT_ONCE = 1000
VACUUM_AT_ONCE = 1000  # pages
_SILENT_LEASES = 6  # after so many, a holder counts as dead even if its process exists


class SqliteStore:
    """A store in an SQLite file. Beyond about `max_bytes`, what ended first of the largest owner goes first.

    Create with `opened`.
    """

    def __init__(self, path: Path, ttl: float, max_bytes: int, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._db = Connections(path, writer, reader)
        self.failures = self._db.failures
        self._changes = SqliteChanges(self._db)
        self._locks = HolderLocks(path)
        self._ttl = ttl
        self._max_bytes = max_bytes

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, ttl: float, max_bytes: int) -> AsyncIterator["SqliteStore"]:
        """Open the file, creating it readable only by us, until the block ends. Raises StoreUnavailable and StorageFull."""
        async with sqlite_file.opened(path) as (writer, reader):
            store = cls(path, ttl, max_bytes, writer, reader)
            with contextlib.closing(store._locks):
                yield store

    async def create(self, record: Record, input_items: bytes, conversation: bytes) -> None:
        async with self._db.transaction() as db:
            if not await sql.create(db, record, input_items, conversation):
                return
            gone = await forget_surplus(db, self._max_bytes)
        self._changes.tell(gone)

    async def update(self, change: Change) -> bool:
        changed = (change.status, change.status in RUNNING, time.time_ns(), change.body)
        state = (*changed, change.last_event, change.size, change.id, change.after)
        gone: list[str] = []
        if change.parts or change.events:
            async with self._db.transaction() as db:
                if not await run(db, sql.UPDATE, *state):
                    return await self._is_end(change)
                await db.executemany(sql.ADD_EVENT, [(one.number, one.type, one.content, change.id) for one in change.events])
                await db.executemany(sql.ADD_PART, [(one.number, one.content, change.id) for one in change.parts])
                if change.status in RUNNING:  # an end makes no room at once: its own readers have yet to see it
                    gone = await forget_surplus(db, self._max_bytes)
        else:  # without either, the next create enforces the bound
            if not await self._db.write(sql.UPDATE, *state):
                return await self._is_end(change)
        self._changes.tell([change.id, *gone])
        return True

    async def amend(self, owner: str, amendment: Amendment) -> bool:
        async with self._db.transaction() as db:
            done = await sql.amend(db, owner, amendment)
            gone = await forget_surplus(db, self._max_bytes)
        self._changes.tell([amendment.id, *gone])
        return done

    async def get(self, owner: str, record_id: str) -> Record | None:
        rows = await self._db.read(sql.SELECT_RECORD + "WHERE id = ? AND owner = ?", record_id, owner)
        return sql.record(rows[0]) if rows else None

    async def input_items(self, owner: str, record_id: str) -> bytes | None:
        found = "SELECT input_items FROM input JOIN record ON input.record = record.number WHERE id = ? AND owner = ?"
        rows = await self._db.read(found, record_id, owner)
        return rows[0][0] if rows else None

    async def sizes(self, owner: str, record_id: str) -> base.Sizes | None:
        rows = await self._db.read(sql.SELECT_SIZES, record_id, owner)
        return base.Sizes(*rows[0]) if rows else None

    async def conversation(self, owner: str, record_id: str) -> list[bytes] | None:
        rows = await self._db.read(sql.SELECT_CONVERSATION, record_id, owner)
        return [content for (content,) in rows] or None

    async def latest(self, owner: str, limit: int, most: int, after: str = "") -> tuple[list[Listed], str]:
        before = min(float(after or "inf"), 2.0**62)
        return sql.listed(await self._db.read(sql.SELECT_LATEST, owner, before, limit, most), limit)

    async def delete(self, owner: str, record_id: str) -> bool:
        async with self._db.transaction() as db:
            if not await run(db, "SELECT 1 FROM record WHERE id = ? AND owner = ?", record_id, owner):
                return False
            await run(db, "DELETE FROM record WHERE id = ?", record_id)
        self._changes.tell([record_id])
        return True

    async def want_cancel(self, owner: str, record_id: str) -> bool:
        async with self._db.transaction() as db:
            if not await run(db, "SELECT 1 FROM record WHERE id = ? AND owner = ? AND running", record_id, owner):
                return False
            await run(db, "UPDATE record SET cancel_wanted = TRUE, changed_at = ? WHERE id = ?", time.time_ns(), record_id)
        self._changes.tell([record_id])
        return True

    async def events(self, owner: str, record_id: str, after: int) -> list[StoredEvent]:
        rows = await self._db.read(sql.SELECT_EVENTS, record_id, owner, after, EVENTS_AT_ONCE, base.EVENTS_BYTES)
        return sql.page(rows).items

    async def find(self, owner: str, record_id: str, types: Sequence[str]) -> list[StoredEvent]:
        found = [await self._db.read(statement, record_id, owner, *ids) for statement, ids in sql.select_items(types)]
        return [StoredEvent(*row) for rows in found for row in rows]

    async def page(self, owner: str, record_id: str, limit: int, order: Order, beyond: int | None, most: int) -> base.Page:
        statement, number = sql.select_page(order, beyond)
        return sql.page(await self._db.read(statement, record_id, owner, number, limit, most))

    async def extent(self, owner: str, record_id: str) -> Extent | None:
        rows = await self._db.read(sql.SELECT_EXTENT, record_id, owner)
        return Extent(*rows[0]) if rows else None

    async def changed(self, record_id: str, timeout: float) -> None:
        await self._changes.wait(record_id, timeout)

    async def claim(self, key: str, owner: str, fingerprint: str, holder: str, lease: float) -> Claim | None:
        async with self._db.transaction() as db:
            return await sql.claim(db, key, owner, fingerprint, holder, lease)

    async def bind(self, key: str, holder: str, ttl: float, response_id: str | None) -> bool:
        async with self._db.transaction() as db:
            bound = await run(
                db,
                "UPDATE claim SET ends_at = ?, response_id = ?, changed_at = ? WHERE key = ? AND holder = ? RETURNING key",
                *(time.time() + ttl, response_id, time.time_ns(), key, holder),
            )
        self._changes.tell([key])
        return bool(bound)

    async def answer(self, key: str, holder: str, answer: bytes) -> None:
        async with self._db.transaction() as db:
            values = (answer, time.time_ns(), key, holder)
            await run(db, "UPDATE claim SET answer = ?, changed_at = ? WHERE key = ? AND holder = ?", *values)
            gone = await forget_surplus(db, self._max_bytes)
        self._changes.tell([key, *gone])

    async def release(self, key: str, holder: str) -> None:
        async with self._db.transaction() as db:
            await run(db, "DELETE FROM claim WHERE key = ? AND holder = ? AND answer IS NULL", key, holder)
        self._changes.tell([key])

    async def keep_trace(self, owner: str, name: str, identity: str, content: bytes, ttl: float, instead: str) -> None:
        async with self._db.transaction() as db:
            await run(db, sql.KEEP_TRACE, name, owner, identity, content, time.time() + ttl)
            await run(db, "DELETE FROM trace WHERE name = ? AND owner = ? AND identity != ''", instead, owner)
            gone = await forget_surplus(db, self._max_bytes)
        self._changes.tell(gone)

    async def trace(self, owner: str, names: Sequence[str]) -> StoredTrace:
        rows = await self._db.read(sql.SELECT_TRACES, owner, time.time(), msgspec.json.encode(names).decode())
        return sql.stored_trace(rows)

    async def renew(self, holder: str, lease: float) -> None:
        with self._db.in_our_words():
            self._locks.hold(holder)
        async with self._db.transaction() as db:
            now = time.monotonic()
            await run(db, "INSERT OR REPLACE INTO lease VALUES (?, ?, ?)", holder, now + lease, now + _SILENT_LEASES * lease)

    async def alive(self, holder: str) -> bool:
        lease = "SELECT 1 FROM lease WHERE holder = ? AND ends_at >= ?"
        return bool(await self._db.read(lease, holder, time.monotonic())) or self._locks.held(holder)

    async def orphans(self) -> list[Record]:
        now = time.monotonic()
        no_lease = "NOT EXISTS (SELECT 1 FROM lease WHERE lease.holder = kept.holder AND ends_at >= ?)"
        silent = [sql.record(row) for row in await self._db.read(sql.SELECT_RECORD + "WHERE running AND " + no_lease, now)]
        rows = await self._db.read("SELECT holder FROM lease WHERE silent_until >= ?", now) if silent else []
        asleep = {holder for (holder,) in rows if self._locks.held(holder)}
        return [record for record in silent if record.holder not in asleep]

    async def held(self, holder: str) -> list[Record]:
        return [sql.record(row) for row in await self._db.read(sql.SELECT_RECORD + "WHERE running AND holder = ?", holder)]

    async def hit(self, caller: str, amount: int, window: float) -> Hit | None:
        return None

    async def sweep(self, now: int) -> None:
        async with self._db.transaction() as db:
            await run(db, "DELETE FROM lease WHERE silent_until < ?", time.monotonic())
            await run(db, "DELETE FROM claim WHERE ends_at < ?", time.time())
            await run(db, "DELETE FROM trace WHERE ends_at < ?", time.time())
        while await self._forgot_some(now - self._ttl):
            pass
        [(free,)] = await self._db.read("PRAGMA freelist_count")
        for _ in range(0, free, VACUUM_AT_ONCE):
            await self._db.tidy(f"PRAGMA incremental_vacuum({VACUUM_AT_ONCE})")
        await self._db.tidy("PRAGMA wal_checkpoint(TRUNCATE)")  # incomplete while another process reads

    async def close(self) -> None:
        await self._db.close()
        self._locks.close()

    async def _is_end(self, change: Change) -> bool:
        """Return whether the record has ended this way; False if there is none. Raises RecordEnded if it ended otherwise."""
        rows = await self._db.read("SELECT status, body FROM kept WHERE id = ?", change.id)
        if rows and rows[0] != (change.status, change.body):
            raise RecordEnded(ENDED_MESSAGE)
        return bool(rows)

    async def _forgot_some(self, too_old: float) -> bool:
        async with self._db.transaction() as db:
            gone = await forget_surplus(db, self._max_bytes, too_old)
        self._changes.tell(gone)
        return bool(gone)
