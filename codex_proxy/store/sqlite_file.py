"""An SQLite file of responses: its creation, its schema and migrations, and the translation of its errors.

Rule: never edit an entry of MIGRATIONS, only append; PRAGMA user_version is the number applied to a file.
"""

import asyncio
import contextlib
import errno
import itertools
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from codex_proxy.errors import ProxyError, StorageFull, StoreUnavailable
from codex_proxy.store import file_lock

BUSY_TIMEOUT = 5.0  # seconds that a write waits for another process's
RETRY_AFTER = 30.0  # seconds: making room on a disk takes about that long
_BUSY_PAUSE = 0.02  # seconds
_MAGIC, _HEAD_BYTES = b"SQLite format 3\0", 100  # of every SQLite file
_LITTLE_ROOM = 64 * 1024  # bytes; SQLite's shared memory grows by 32 KiB

_PRAGMAS = (
    "PRAGMA auto_vacuum = INCREMENTAL",  # only takes effect before the first table is created, and before WAL
    "PRAGMA journal_mode = WAL",
    "PRAGMA journal_size_limit = 4194304",  # the size at which SQLite copies the WAL into the file
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)

# The migrations from each version to the next. `changed_at` is in nanoseconds since the epoch. Large values are in separate tables,
# so that they are not rewritten with each event.
MIGRATIONS: list[tuple[str, ...]] = [
    (
        """CREATE TABLE record (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
            created_at INTEGER NOT NULL, status TEXT NOT NULL, running INTEGER NOT NULL, holder TEXT,
            cancel_wanted INTEGER NOT NULL, changed_at INTEGER NOT NULL)""",
        "CREATE INDEX record_ended ON record (created_at) WHERE NOT running",
        "CREATE INDEX record_running ON record (holder) WHERE running",
        """CREATE TABLE content (record INTEGER PRIMARY KEY REFERENCES record ON DELETE CASCADE,
            body BLOB NOT NULL, input_items BLOB NOT NULL, conversation BLOB NOT NULL)""",
        """CREATE TABLE event (record INTEGER NOT NULL REFERENCES record ON DELETE CASCADE, number INTEGER NOT NULL,
            type TEXT NOT NULL, content BLOB NOT NULL, PRIMARY KEY (record, number)) WITHOUT ROWID""",
        """CREATE TABLE claim (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, answer BLOB, ends_at REAL NOT NULL,
            changed_at INTEGER NOT NULL)""",
        "CREATE INDEX claim_end ON claim (ends_at)",
        "CREATE TABLE lease (holder TEXT PRIMARY KEY, ends_at REAL NOT NULL)",
    ),
    (  # makes a change a single statement: one round trip to the connection's thread, with its own commit
        """CREATE VIEW kept AS SELECT number, id, owner, created_at, status, running, holder, cancel_wanted, changed_at,
            body, input_items, conversation FROM record JOIN content ON content.record = record.number""",
        """CREATE TRIGGER kept_changes INSTEAD OF UPDATE ON kept BEGIN
            UPDATE record SET owner = NEW.owner, created_at = NEW.created_at, status = NEW.status, running = NEW.running,
                holder = NEW.holder, changed_at = NEW.changed_at WHERE number = OLD.number;
            UPDATE content SET body = NEW.body, input_items = NEW.input_items, conversation = NEW.conversation
                WHERE record = OLD.number AND (body, input_items, conversation)
                    IS NOT (NEW.body, NEW.input_items, NEW.conversation);
            END""",
    ),
    (  # writes the input only once: a change writes the state, and the body only if it differs
        "DROP VIEW kept",
        "ALTER TABLE record ADD COLUMN last_event INTEGER NOT NULL DEFAULT -1",
        "UPDATE record SET last_event = (SELECT coalesce(max(number), -1) FROM event WHERE event.record = record.number)",
        "CREATE TABLE body (record INTEGER PRIMARY KEY REFERENCES record ON DELETE CASCADE, content BLOB NOT NULL)",
        "INSERT INTO body SELECT record, body FROM content",
        "ALTER TABLE content DROP COLUMN body",
        "ALTER TABLE content RENAME TO input",
        """CREATE TABLE part (record INTEGER NOT NULL REFERENCES record ON DELETE CASCADE, number INTEGER NOT NULL,
            content BLOB NOT NULL, PRIMARY KEY (record, number)) WITHOUT ROWID""",
        """CREATE VIEW kept AS SELECT number, id, owner, created_at, status, running, holder, cancel_wanted, changed_at,
            last_event, content AS body FROM record JOIN body ON body.record = record.number""",
        """CREATE TRIGGER kept_changes INSTEAD OF UPDATE ON kept BEGIN
            UPDATE record SET status = NEW.status, running = NEW.running, changed_at = NEW.changed_at,
                last_event = NEW.last_event WHERE number = OLD.number;
            UPDATE body SET content = NEW.body WHERE record = OLD.number AND content IS NOT NEW.body;
            END""",
    ),
    (  # earlier claims have no holder who could still answer them
        "ALTER TABLE claim ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE claim ADD COLUMN holder TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE claim ADD COLUMN response_id TEXT",
    ),
    (  # leases on the machine's monotonic clock: unaffected by setting the clock, or by a machine that slept
        "DROP TABLE lease",
        "CREATE TABLE lease (holder TEXT PRIMARY KEY, ends_at REAL NOT NULL, silent_until REAL NOT NULL)",
    ),
    (  # tracks the largest owner without scanning everything
        "ALTER TABLE record ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
        """UPDATE record SET size = (SELECT length(content) FROM body WHERE record = number)
            + (SELECT length(input_items) + length(conversation) FROM input WHERE record = number)
            + (SELECT coalesce(sum(length(content)), 0) FROM event WHERE event.record = record.number)
            + (SELECT coalesce(sum(length(content)), 0) FROM part WHERE part.record = record.number)""",
        "CREATE TABLE share (owner TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
        """INSERT INTO share SELECT owner, sum(size) FROM (SELECT owner, size FROM record
            UNION ALL SELECT owner, length(answer) FROM claim WHERE answer NOT NULL) GROUP BY owner""",
        "CREATE INDEX share_bytes ON share (bytes)",
        "CREATE INDEX record_of_owner ON record (owner, created_at, number) WHERE NOT running",
        "CREATE INDEX claim_of_owner ON claim (owner, ends_at)",
        """CREATE TRIGGER record_comes AFTER INSERT ON record BEGIN INSERT INTO share VALUES (NEW.owner, NEW.size)
            ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes; END""",
        """CREATE TRIGGER record_grows AFTER UPDATE OF size ON record BEGIN
            UPDATE share SET bytes = bytes + NEW.size - OLD.size WHERE owner = NEW.owner; END""",
        """CREATE TRIGGER record_goes AFTER DELETE ON record BEGIN
            UPDATE share SET bytes = bytes - OLD.size WHERE owner = OLD.owner;
            DELETE FROM share WHERE owner = OLD.owner AND bytes <= 0; END""",
        """CREATE TRIGGER claim_is_answered AFTER UPDATE OF answer ON claim BEGIN INSERT INTO share VALUES
            (NEW.owner, coalesce(length(NEW.answer), 0) - coalesce(length(OLD.answer), 0))
            ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes; END""",
        """CREATE TRIGGER claim_goes AFTER DELETE ON claim BEGIN
            UPDATE share SET bytes = bytes - coalesce(length(OLD.answer), 0) WHERE owner = OLD.owner; END""",
        "DROP VIEW kept",
        """CREATE VIEW kept AS SELECT number, id, owner, created_at, status, running, holder, cancel_wanted, changed_at,
            last_event, size, content AS body FROM record JOIN body ON body.record = record.number""",
        """CREATE TRIGGER kept_changes INSTEAD OF UPDATE ON kept BEGIN
            UPDATE record SET status = NEW.status, running = NEW.running, changed_at = NEW.changed_at,
                last_event = NEW.last_event, size = NEW.size + length(NEW.body) - length(OLD.body) WHERE number = OLD.number;
            UPDATE body SET content = NEW.body WHERE record = OLD.number AND content IS NOT NEW.body;
            END""",
    ),
    (  # what is left of a conversation, for its next turn; an empty `identity` means that two conversations share the name
        """CREATE TABLE trace (name TEXT PRIMARY KEY, owner TEXT NOT NULL, identity TEXT NOT NULL, content BLOB NOT NULL,
            ends_at REAL NOT NULL)""",
        "CREATE INDEX trace_end ON trace (ends_at)",
        "CREATE INDEX trace_of_owner ON trace (owner, ends_at) WHERE length(content) > 0",
        """CREATE TRIGGER trace_comes AFTER INSERT ON trace BEGIN INSERT INTO share VALUES (NEW.owner, length(NEW.content))
            ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes; END""",
        """CREATE TRIGGER trace_changes AFTER UPDATE OF content ON trace BEGIN
            UPDATE share SET bytes = bytes + length(NEW.content) - length(OLD.content) WHERE owner = NEW.owner; END""",
        """CREATE TRIGGER trace_goes AFTER DELETE ON trace BEGIN
            UPDATE share SET bytes = bytes - length(OLD.content) WHERE owner = OLD.owner; END""",
    ),
    (  # one item of a conversation is found, and they are counted, without reading all of them; not for events of responses
        "ALTER TABLE record ADD COLUMN items INTEGER NOT NULL DEFAULT 0",
        """UPDATE record SET items = (SELECT count(*) FROM event WHERE event.record = record.number)
            WHERE status = 'conversation'""",
        "CREATE INDEX event_item ON event (record, type) WHERE type NOT GLOB 'response.*'",
    ),
    (  # what ended first makes room first: what has ended just now has readers, however long ago it was created
        "DROP INDEX record_of_owner",
        "CREATE INDEX record_of_owner ON record (owner, changed_at, number) WHERE NOT running",
    ),
]

Row = tuple[Any, ...]  # Any: whatever the statement selects


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[aiosqlite.Connection, aiosqlite.Connection]]:
    """Open a connection for writing and one for reading; the file is created if missing, readable only by us.

    Raises StoreUnavailable and StorageFull.
    """
    async with contextlib.AsyncExitStack() as stack:
        with in_our_words(path):
            _make_private(path)
            alone = stack.enter_context(file_lock.held(path))
            writer = await stack.enter_async_context(_connection(path))
            await _prepare(writer, path)
            if alone:  # every holder of a lease is dead
                await run(writer, "DELETE FROM lease")
            reader = await stack.enter_async_context(_connection(path))
            await run(reader, "PRAGMA query_only = ON")
        yield writer, reader


def check(path: Path) -> None:
    """Raise StoreUnavailable if the file could not be opened or created. Creates and changes nothing."""
    with in_our_words(path):
        place = path if path.exists() else next(parent for parent in path.parents if parent.exists())
        if not os.access(place, os.R_OK | os.W_OK) or not os.access(path.parent if place == path else place, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "it may not be written", str(place))
        if place == path:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
            if head and not head.startswith(_MAGIC):
                raise sqlite3.DatabaseError("file is not a database")
            _refuse_newer(int.from_bytes(head[60:64], "big"), path)  # the position of user_version


async def run(db: aiosqlite.Connection, statement: str, *values: object) -> list[Row]:
    """Run one statement to its end: an unfinished SELECT would keep the WAL from being copied."""
    return [tuple(row) for row in await db.execute_fetchall(statement, values)]


@contextmanager
def in_our_words(path: Path, failures: Counter[str] | None = None) -> Iterator[None]:
    """Count errors in `failures` by our code, and raise them as StorageFull or StoreUnavailable."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as error:  # aiosqlite raises ValueError for a closed connection
        ours = _ours(error, path)
        if failures is not None:
            failures[str(ours.code)] += 1
        raise ours from error


def _ours(error: Exception, path: Path) -> ProxyError:
    detail = f"{path}: {error}"
    if _is_full(error, path):
        return StorageFull("There is no space left to store responses.", detail=detail, retry_after=RETRY_AFTER)
    return StoreUnavailable("The response store is not working.", detail=detail)


def _connection(path: Path) -> aiosqlite.Connection:
    return aiosqlite.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)


def _make_private(path: Path) -> None:
    """Create the file before SQLite does, so that the files that SQLite puts beside it get the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # not opened then: a close would drop all locks that this process has on it
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


async def _prepare(db: aiosqlite.Connection, path: Path) -> None:
    async with asyncio.timeout(BUSY_TIMEOUT):
        for pragma in _PRAGMAS:
            await _set(db, pragma)
    await run(db, "BEGIN IMMEDIATE")
    [(taken,)] = await run(db, "PRAGMA user_version")
    _refuse_newer(taken, path)
    for statement in itertools.chain.from_iterable(MIGRATIONS[taken:]):
        await run(db, statement)
    await run(db, f"PRAGMA user_version = {len(MIGRATIONS)}")
    await db.commit()


def _refuse_newer(schema: int, path: Path) -> None:
    if schema > len(MIGRATIONS):
        detail = f"{path} has schema {schema}, this version knows {len(MIGRATIONS)}: update, or set PROXY_STORE to another file"
        raise StoreUnavailable("The response store was written by a newer version.", detail=detail)


async def _set(db: aiosqlite.Connection, pragma: str) -> None:
    """Set a pragma, retrying while busy: SQLite does not let two connections that set the journal mode wait for each other."""
    while True:
        try:
            await run(db, pragma)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        await asyncio.sleep(_BUSY_PAUSE)


def _is_full(error: Exception, path: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and path.parent.exists():  # of the shared memory or the WAL
        return shutil.disk_usage(path.parent).free < _LITTLE_ROOM
    return code == sqlite3.SQLITE_FULL
