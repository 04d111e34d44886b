"""The store in one SQLite file, for the processes of one machine.

One connection writes and one reads, so no read waits for a write or sees half of one. The bound is on the pages in use, which
SQLite counts itself, so it holds for the file and all its writers. Rule: a write is one statement or one `_transaction`, whose
statements and rollback go through the connection's queue, so a cancelled caller leaves nothing open.
"""

import asyncio
import contextlib
import functools
import time
import weakref
from collections import Counter
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
from codex_proxy.store.changes import set_within
from codex_proxy.store.file_lock import HolderLocks
from codex_proxy.store.rates import Hit
from codex_proxy.store.sqlite_bounds import forget_surplus
from codex_proxy.store.sqlite_file import Row, in_our_words, run, turn

EVENTS_AT_ONCE = 1000
VACUUM_AT_ONCE = 1000  # pages
_SILENT_LEASES = 6  # after so many, a holder counts as dead even if its process exists
POLL_INTERVAL = 0.2  # seconds between checks for changes by other processes


class SqliteStore:
    """A store in an SQLite file. Beyond about `max_bytes`, what ended first of the largest owner goes first.

    Create with `opened`.
    """

    def __init__(self, path: Path, ttl: float, max_bytes: int, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self.failures = Counter[str]()
        self._in_our_words = functools.partial(in_our_words, path, self.failures)
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._writer = writer
        self._reader = reader
        self._locks = HolderLocks(path)
        self._writing = asyncio.Lock()
        self._changes = weakref.WeakValueDictionary[str, asyncio.Event]()  # by record or claim that this process waits for

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, ttl: float, max_bytes: int) -> AsyncIterator["SqliteStore"]:
        """Open the file, creating it readable only by us, until the block ends. Raises StoreUnavailable and StorageFull."""
        async with sqlite_file.opened(path) as (writer, reader):
            store = cls(path, ttl, max_bytes, writer, reader)
            with contextlib.closing(store._locks):
                yield store

    async def create(self, record: Record, input_items: bytes, conversation: bytes) -> None:
        async with self._transaction() as db:
            if not await sql.create(db, record, input_items, conversation):
                return
            gone = await forget_surplus(db, self._max_bytes)
        self._tell(gone)

    async def update(self, change: Change) -> bool:
        changed = (change.status, change.status in RUNNING, time.time_ns(), change.body)
        state = (*changed, change.last_event, change.size, change.id, change.after)
        gone: list[str] = []
        if change.parts or change.events:
            async with self._transaction() as db:
                if not await run(db, sql.UPDATE, *state):
                    return await self._is_end(change)
                await db.executemany(sql.ADD_EVENT, [(one.number, one.type, one.content, change.id) for one in change.events])
                await db.executemany(sql.ADD_PART, [(one.number, one.content, change.id) for one in change.parts])
                if change.status in RUNNING:  # an end makes no room at once: its own readers have yet to see it
                    gone = await forget_surplus(db, self._max_bytes)
        else:  # without either, the next create enforces the bound
            async with turn(self._writing, self._in_our_words):
                with self._in_our_words():
                    found = await run(self._writer, sql.UPDATE, *state)
            if not found:
                return await self._is_end(change)
        self._tell([change.id, *gone])
        return True

    async def amend(self, owner: str, amendment: Amendment) -> bool:
        async with self._transaction() as db:
            done = await sql.amend(db, owner, amendment)
            gone = await forget_surplus(db, self._max_bytes)
        self._tell([amendment.id, *gone])
        return done

    async def get(self, owner: str, record_id: str) -> Record | None:
        rows = await self._read(sql.SELECT_RECORD + "WHERE id = ? AND owner = ?", record_id, owner)
        return sql.record(rows[0]) if rows else None

    async def input_items(self, owner: str, record_id: str) -> bytes | None:
        found = "SELECT input_items FROM input JOIN record ON input.record = record.number WHERE id = ? AND owner = ?"
        rows = await self._read(found, record_id, owner)
        return rows[0][0] if rows else None

    async def sizes(self, owner: str, record_id: str) -> base.Sizes | None:
        rows = await self._read(sql.SELECT_SIZES, record_id, owner)
        return base.Sizes(*rows[0]) if rows else None

    async def conversation(self, owner: str, record_id: str) -> list[bytes] | None:
        rows = await self._read(sql.SELECT_CONVERSATION, record_id, owner)
        return [content for (content,) in rows] or None

    async def latest(self, owner: str, limit: int, most: int, after: str = "") -> tuple[list[Listed], str]:
        before = min(float(after or "inf"), 2.0**62)
        return sql.listed(await self._read(sql.SELECT_LATEST, owner, before, limit, most), limit)

    async def delete(self, owner: str, record_id: str) -> bool:
        async with self._transaction() as db:
            if not await run(db, "SELECT 1 FROM record WHERE id = ? AND owner = ?", record_id, owner):
                return False
            await run(db, "DELETE FROM record WHERE id = ?", record_id)
        self._tell([record_id])
        return True

    async def want_cancel(self, owner: str, record_id: str) -> bool:
        async with self._transaction() as db:
            if not await run(db, "SELECT 1 FROM record WHERE id = ? AND owner = ? AND running", record_id, owner):
                return False
            await run(db, "UPDATE record SET cancel_wanted = TRUE, changed_at = ? WHERE id = ?", time.time_ns(), record_id)
        self._tell([record_id])
        return True

    async def events(self, owner: str, record_id: str, after: int) -> list[StoredEvent]:
        rows = await self._read(sql.SELECT_EVENTS, record_id, owner, after, EVENTS_AT_ONCE, base.EVENTS_BYTES)
        return sql.page(rows).items

    async def find(self, owner: str, record_id: str, types: Sequence[str]) -> list[StoredEvent]:
        found = [await self._read(statement, record_id, owner, *ids) for statement, ids in sql.select_items(types)]
        return [StoredEvent(*row) for rows in found for row in rows]

    async def page(self, owner: str, record_id: str, limit: int, order: Order, beyond: int | None, most: int) -> base.Page:
        statement, number = sql.select_page(order, beyond)
        return sql.page(await self._read(statement, record_id, owner, number, limit, most))

    async def extent(self, owner: str, record_id: str) -> Extent | None:
        rows = await self._read(sql.SELECT_EXTENT, record_id, owner)
        return Extent(*rows[0]) if rows else None

    async def changed(self, record_id: str, timeout: float) -> None:
        """Wait for a change of a record, or of a claim by its key.

        Returns early, after POLL_INTERVAL, if the last change is so recent that the caller may not have read it yet.
        """
        change = self._changes.setdefault(record_id, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                seen = await self._changed_at(record_id)
                perhaps_missed = seen is None or abs(time.time_ns() - seen) < POLL_INTERVAL * 1e9
                while not await set_within(change, POLL_INTERVAL):
                    if perhaps_missed or await self._changed_at(record_id) != seen:
                        return

    async def claim(self, key: str, owner: str, fingerprint: str, holder: str, lease: float) -> Claim | None:
        async with self._transaction() as db:
            return await sql.claim(db, key, owner, fingerprint, holder, lease)

    async def bind(self, key: str, holder: str, ttl: float, response_id: str | None) -> bool:
        async with self._transaction() as db:
            bound = await run(
                db,
                "UPDATE claim SET ends_at = ?, response_id = ?, changed_at = ? WHERE key = ? AND holder = ? RETURNING key",
                *(time.time() + ttl, response_id, time.time_ns(), key, holder),
            )
        self._tell([key])
        return bool(bound)

    async def answer(self, key: str, holder: str, answer: bytes) -> None:
        async with self._transaction() as db:
            values = (answer, time.time_ns(), key, holder)
            await run(db, "UPDATE claim SET answer = ?, changed_at = ? WHERE key = ? AND holder = ?", *values)
            gone = await forget_surplus(db, self._max_bytes)
        self._tell([key, *gone])

    async def release(self, key: str, holder: str) -> None:
        async with self._transaction() as db:
            await run(db, "DELETE FROM claim WHERE key = ? AND holder = ? AND answer IS NULL", key, holder)
        self._tell([key])

    async def keep_trace(self, owner: str, name: str, identity: str, content: bytes, ttl: float, instead: str) -> None:
        async with self._transaction() as db:
            await run(db, sql.KEEP_TRACE, name, owner, identity, content, time.time() + ttl)
            await run(db, "DELETE FROM trace WHERE name = ? AND owner = ? AND identity != ''", instead, owner)
            gone = await forget_surplus(db, self._max_bytes)
        self._tell(gone)

    async def trace(self, owner: str, names: Sequence[str]) -> StoredTrace:
        rows = await self._read(sql.SELECT_TRACES, owner, time.time(), msgspec.json.encode(names).decode())
        return sql.stored_trace(rows)

    async def renew(self, holder: str, lease: float) -> None:
        with self._in_our_words():
            self._locks.hold(holder)
        async with self._transaction() as db:
            now = time.monotonic()
            await run(db, "INSERT OR REPLACE INTO lease VALUES (?, ?, ?)", holder, now + lease, now + _SILENT_LEASES * lease)

    async def alive(self, holder: str) -> bool:
        lease = "SELECT 1 FROM lease WHERE holder = ? AND ends_at >= ?"
        return bool(await self._read(lease, holder, time.monotonic())) or self._locks.held(holder)

    async def orphans(self) -> list[Record]:
        now = time.monotonic()
        no_lease = "NOT EXISTS (SELECT 1 FROM lease WHERE lease.holder = kept.holder AND ends_at >= ?)"
        silent = [sql.record(row) for row in await self._read(sql.SELECT_RECORD + "WHERE running AND " + no_lease, now)]
        rows = await self._read("SELECT holder FROM lease WHERE silent_until >= ?", now) if silent else []
        asleep = {holder for (holder,) in rows if self._locks.held(holder)}
        return [record for record in silent if record.holder not in asleep]

    async def held(self, holder: str) -> list[Record]:
        return [sql.record(row) for row in await self._read(sql.SELECT_RECORD + "WHERE running AND holder = ?", holder)]

    async def hit(self, caller: str, amount: int, window: float) -> Hit | None:
        return None

    async def sweep(self, now: int) -> None:
        async with self._transaction() as db:
            await run(db, "DELETE FROM lease WHERE silent_until < ?", time.monotonic())
            await run(db, "DELETE FROM claim WHERE ends_at < ?", time.time())
            await run(db, "DELETE FROM trace WHERE ends_at < ?", time.time())
        while await self._forgot_some(now - self._ttl):
            pass
        [(free,)] = await self._read("PRAGMA freelist_count")
        for _ in range(0, free, VACUUM_AT_ONCE):
            await self._tidy(f"PRAGMA incremental_vacuum({VACUUM_AT_ONCE})")
        await self._tidy("PRAGMA wal_checkpoint(TRUNCATE)")  # incomplete while another process reads

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()
        self._locks.close()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        async with turn(self._writing, self._in_our_words):
            with self._in_our_words():
                try:
                    await run(self._writer, "BEGIN IMMEDIATE")
                    yield self._writer
                    await self._writer.commit()
                except BaseException:
                    await self._writer.rollback()
                    raise

    async def _tidy(self, pragma: str) -> None:
        """Run a pragma as a script: vacuum yields a row per page, and `execute` stops at each row, so it would free one page."""
        async with turn(self._writing, self._in_our_words):
            with self._in_our_words():
                await self._writer.executescript(pragma)

    async def _read(self, statement: str, *values: object) -> list[Row]:
        with self._in_our_words():
            return await run(self._reader, statement, *values)

    async def _is_end(self, change: Change) -> bool:
        """Return whether the record has ended this way; False if there is none. Raises RecordEnded if it ended otherwise."""
        rows = await self._read("SELECT status, body FROM kept WHERE id = ?", change.id)
        if rows and rows[0] != (change.status, change.body):
            raise RecordEnded(ENDED_MESSAGE)
        return bool(rows)

    async def _changed_at(self, name: str) -> int | None:
        found = "SELECT changed_at FROM record WHERE id = ? UNION ALL SELECT changed_at FROM claim WHERE key = ?"
        rows = await self._read(found, name, name)
        return rows[0][0] if rows else None

    def _tell(self, names: Sequence[str]) -> None:
        for name in names:
            if change := self._changes.pop(name, None):
                change.set()

    async def _forgot_some(self, too_old: float) -> bool:
        async with self._transaction() as db:
            gone = await forget_surplus(db, self._max_bytes, too_old)
        self._tell(gone)
        return bool(gone)
