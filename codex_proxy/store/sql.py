"""The longer statements of the SQLite store; its tables are in `sqlite_file`."""

import time

import aiosqlite

from codex_proxy.store.base import CONVERSATION, Amendment, Record, StoredTrace
from codex_proxy.store.sqlite_file import Row, run

SELECT_RECORD = "SELECT id, owner, created_at, status, body, holder, cancel_wanted, last_event FROM kept "
SELECT_LATEST = """SELECT id, owner, created_at, status, body, holder, cancel_wanted, last_event, input_items, number
    FROM kept JOIN input ON input.record = number
    WHERE owner = ? AND number < ? AND status != 'conversation' ORDER BY number DESC LIMIT ?"""
UPDATE = """UPDATE kept SET status = ?, running = ?, changed_at = ?, body = coalesce(?, body), last_event = max(last_event, ?),
    size = size + ? WHERE id = ? AND running RETURNING id"""
ADD_EVENT = "INSERT OR REPLACE INTO event SELECT number, ?, ?, ? FROM record WHERE id = ?"
ADD_PART = "INSERT OR REPLACE INTO part SELECT number, ?, ? FROM record WHERE id = ?"
SELECT_CONVERSATION = """SELECT conversation FROM (
    SELECT -1 AS place, conversation FROM input WHERE record = (SELECT number FROM record WHERE id = ?1 AND owner = ?2)
    UNION ALL SELECT number, content FROM part WHERE record = (SELECT number FROM record WHERE id = ?1 AND owner = ?2))
    ORDER BY place"""
_AMEND = """UPDATE record SET created_at = ?1, changed_at = ?2, last_event = ?3,
    size = (SELECT length(content) FROM body WHERE record = ?4)
        + (SELECT length(input_items) + length(conversation) FROM input WHERE record = ?4)
        + (SELECT coalesce(sum(length(content)), 0) FROM event WHERE record = ?4)
    WHERE number = ?4"""
# Each LIMIT makes SQLite look at only one record, owner or claim, because every write runs this.
SELECT_SURPLUS = """
    WITH bound AS (SELECT (page_count - freelist_count) * page_size > ? AS is_over
        FROM pragma_page_count, pragma_freelist_count, pragma_page_size)
    SELECT * FROM (SELECT 'record', id FROM record WHERE NOT running AND created_at < ? ORDER BY created_at, number LIMIT 1)
    UNION ALL SELECT * FROM (SELECT iif(trace IS NULL, 'record', 'trace'), coalesce(trace, oldest) FROM (SELECT owner, bytes,
            (SELECT name FROM trace WHERE owner = share.owner AND length(content) > 0 ORDER BY ends_at LIMIT 1) AS trace,
            (SELECT id FROM record WHERE owner = share.owner AND NOT running ORDER BY created_at, number LIMIT 1) AS oldest
            FROM bound CROSS JOIN share WHERE is_over) AS share
        WHERE trace NOT NULL OR oldest NOT NULL OR EXISTS (SELECT 1 FROM claim WHERE owner = share.owner AND length(answer) > 0)
        ORDER BY bytes DESC LIMIT 1)"""
SELECT_TRACES = """
    WITH own AS (SELECT trace.name, identity, content, key AS place FROM json_each(?3) JOIN trace ON trace.name = value
        WHERE owner = ?1 AND ends_at >= ?2)
    SELECT name, content FROM (SELECT * FROM own WHERE identity != '' ORDER BY place LIMIT 1)
    UNION ALL SELECT name, NULL FROM own WHERE identity = ''"""
KEEP_TRACE = """INSERT INTO trace VALUES (?, ?, ?, ?, ?) ON CONFLICT (name)
    DO UPDATE SET identity = '', content = x'', ends_at = excluded.ends_at WHERE identity != excluded.identity"""
SELECT_ANSWER = """SELECT key FROM share JOIN claim ON claim.owner = share.owner WHERE length(answer) > 0
    ORDER BY bytes DESC, ends_at LIMIT 1"""


def record(row: Row) -> Record:
    """Build a record from a row of SELECT_RECORD."""
    record_id, owner, created_at, status, body, holder, cancel_wanted, last_event = row
    return Record(
        id=record_id,
        owner=owner,
        created_at=created_at,
        status=status,
        body=body,
        holder=holder,
        cancel_wanted=bool(cancel_wanted),
        last_event=last_event,
    )


async def amend(db: aiosqlite.Connection, owner: str, amendment: Amendment) -> bool:
    """Change a conversation, inside a transaction."""
    found = "SELECT number FROM record WHERE id = ? AND owner = ? AND status = ? AND last_event = ?"
    rows = await run(db, found, amendment.id, owner, CONVERSATION, amendment.after)
    if not rows:
        return False
    [(number,)] = rows
    for event in amendment.removed:
        await run(db, "DELETE FROM event WHERE record = ? AND number = ?", number, event.number)
    added = [(number, event.number, event.type, event.content) for event in amendment.added]
    await db.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", added)
    if amendment.body is not None:
        await run(db, "UPDATE body SET content = ? WHERE record = ?", amendment.body, number)
    await run(db, _AMEND, amendment.at, time.time_ns(), amendment.last_event, number)
    return True


def stored_trace(rows: list[Row]) -> StoredTrace:
    """Build a trace from the rows of SELECT_TRACES."""
    name, content = next((row for row in rows if row[1] is not None), ("", b""))
    return StoredTrace(name, content, frozenset(name for name, content in rows if content is None))
