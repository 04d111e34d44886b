"""The longer statements of the SQLite store; its tables are in `sqlite_file`."""

import time
from collections.abc import Iterable

import aiosqlite

from codex_proxy.store.base import CONVERSATION, Amendment, Claim, Listed, Order, Page, Record, StoredEvent, StoredTrace
from codex_proxy.store.sqlite_file import Row, run

SELECT_RECORD = "SELECT id, owner, created_at, status, body, holder, cancel_wanted, last_event FROM kept "
# SQLite knows a value's length without reading it, so what does not fit is not read. `total` is the bytes up to a row.
SELECT_LATEST = """WITH near AS (SELECT number, length(body) + length(input_items) AS size
        FROM kept JOIN input ON input.record = number
        WHERE owner = ?1 AND number < ?2 AND status != 'conversation' ORDER BY number DESC LIMIT ?3),
    counted AS (SELECT number, row_number() OVER way AS place, sum(size) OVER way AS total
        FROM near WINDOW way AS (ORDER BY number DESC))
    SELECT id, owner, created_at, status, body, holder, cancel_wanted, last_event, input_items, number,
        (SELECT count(*) FROM near) FROM counted JOIN kept USING (number) JOIN input ON input.record = number
    WHERE place = 1 OR total <= ?4 ORDER BY number DESC"""
UPDATE = """UPDATE kept SET status = ?, running = ?, changed_at = ?, body = coalesce(?, body), last_event = max(last_event, ?),
    size = size + ? WHERE id = ? AND running AND last_event = coalesce(?, last_event) RETURNING id"""
ADD_EVENT = "INSERT OR REPLACE INTO event SELECT number, ?, ?, ? FROM record WHERE id = ?"
ADD_PART = "INSERT OR REPLACE INTO part SELECT number, ?, ? FROM record WHERE id = ?"
SELECT_CONVERSATION = """SELECT conversation FROM (
    SELECT -1 AS place, conversation FROM input WHERE record = (SELECT number FROM record WHERE id = ?1 AND owner = ?2)
    UNION ALL SELECT number, content FROM part WHERE record = (SELECT number FROM record WHERE id = ?1 AND owner = ?2))
    ORDER BY place"""
SELECT_SIZES = """SELECT length(content), length(input_items), length(conversation)
        + (SELECT coalesce(sum(length(content)), 0) FROM part WHERE part.record = record.number)
    FROM record JOIN body ON body.record = record.number JOIN input ON input.record = record.number
    WHERE id = ? AND owner = ? AND status != 'conversation'"""
_AMEND = """UPDATE record SET created_at = ?1, changed_at = ?2, last_event = ?3,
    size = size + ?5, items = items + ?6 WHERE number = ?4"""
SELECT_EXTENT = "SELECT items, size FROM record WHERE id = ? AND owner = ? AND status = 'conversation'"
_SELECT_ITEM = """SELECT number, type, content FROM event
    WHERE record = (SELECT number FROM record WHERE id = ? AND owner = ? AND status = 'conversation')"""
_INDEXED = _SELECT_ITEM.replace("FROM event", "FROM event INDEXED BY event_item")  # by itself SQLite takes the whole record
_SELECT_NAMED = _INDEXED + " AND type IN ({}) AND type NOT GLOB 'response.*'"
_SELECT_ODDLY_NAMED = _SELECT_ITEM + " AND type IN ({})"  # a client may choose any id
_SELECT_PAGE = """WITH near AS (SELECT record, number, length(content) AS size FROM event
        WHERE record = (SELECT number FROM record WHERE id = ?1 AND owner = ?2 {of})
            AND number {beyond} ?3 ORDER BY number {order} LIMIT ?4 + 1),
    counted AS (SELECT record, number, row_number() OVER way AS place, sum(size) OVER way AS total
        FROM near WINDOW way AS (ORDER BY number {order}))
    SELECT number, type, content, (SELECT count(*) FROM near) FROM counted JOIN event USING (record, number)
    WHERE place <= ?4 AND (place = 1 OR total <= ?5) ORDER BY number {order}"""
_SELECT_PAGE_OF = {
    "asc": _SELECT_PAGE.format(of="AND status = 'conversation'", beyond=">", order="ASC"),
    "desc": _SELECT_PAGE.format(of="AND status = 'conversation'", beyond="<", order="DESC"),
}
SELECT_EVENTS = _SELECT_PAGE.format(of="", beyond=">", order="ASC")
_BEFORE_ALL, _AFTER_ALL = -1, 2**62  # numbers of events
# Each LIMIT makes SQLite look at only one record, owner or claim, because every write runs this.
SELECT_SURPLUS = """
    WITH bound AS (SELECT (page_count - freelist_count) * page_size > ? AS is_over
        FROM pragma_page_count, pragma_freelist_count, pragma_page_size)
    SELECT * FROM (SELECT 'record', id FROM record WHERE NOT running AND created_at < ? ORDER BY created_at, number LIMIT 1)
    UNION ALL SELECT * FROM (SELECT iif(trace IS NULL, 'record', 'trace'), coalesce(trace, oldest) FROM (SELECT owner, bytes,
            (SELECT name FROM trace WHERE owner = share.owner AND length(content) > 0 ORDER BY ends_at LIMIT 1) AS trace,
            (SELECT id FROM record WHERE owner = share.owner AND NOT running ORDER BY changed_at, number LIMIT 1) AS oldest
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


async def create(db: aiosqlite.Connection, record: Record, input_items: bytes, conversation: bytes) -> bool:
    """Add a record, inside of a transaction; False if there is one with this id."""
    if await run(db, "SELECT 1 FROM record WHERE id = ?", record.id):
        return False
    await run(
        db,
        "INSERT INTO record (id, owner, created_at, status, running, holder, cancel_wanted, changed_at, last_event, size)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(record.id, record.owner, record.created_at, record.status, record.running, record.holder),
        *(record.cancel_wanted, time.time_ns(), record.last_event),
        len(record.body) + len(input_items) + len(conversation),
    )
    [(number,)] = await run(db, "SELECT last_insert_rowid()")
    await run(db, "INSERT INTO body VALUES (?, ?)", number, record.body)
    await run(db, "INSERT INTO input VALUES (?, ?, ?)", number, input_items, conversation)
    return True


async def claim(db: aiosqlite.Connection, key: str, owner: str, fingerprint: str, holder: str, lease: float) -> Claim | None:
    """Claim an idempotency key, inside of a transaction."""
    now = time.time()
    await run(db, "DELETE FROM claim WHERE ends_at < ?", now)
    if rows := await run(db, "SELECT fingerprint, answer, response_id, holder FROM claim WHERE key = ?", key):
        found = Claim(*rows[0])
        return None if found.holder == holder else found
    await run(
        db,
        "INSERT INTO claim (key, owner, fingerprint, holder, ends_at, changed_at) VALUES (?, ?, ?, ?, ?, ?)",
        *(key, owner, fingerprint, holder, now + lease, time.time_ns()),
    )
    return None


async def amend(db: aiosqlite.Connection, owner: str, amendment: Amendment) -> bool:
    """Change a conversation, inside a transaction."""
    found = "SELECT number FROM record WHERE id = ? AND owner = ? AND status = ? AND last_event = ?"
    rows = await run(db, found, amendment.id, owner, CONVERSATION, amendment.after)
    if not rows:
        return False
    [(number,)] = rows
    removed: list[Row] = []
    for event in amendment.removed:
        deleted = "DELETE FROM event WHERE record = ? AND number = ? RETURNING length(content)"
        removed += await run(db, deleted, number, event.number)
    growth = sum(len(event.content) for event in amendment.added) - sum(size for (size,) in removed)
    added = [(number, event.number, event.type, event.content) for event in amendment.added]
    await db.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", added)
    if amendment.body is not None:
        [(size,)] = await run(db, "SELECT length(content) FROM body WHERE record = ?", number)
        growth += len(amendment.body) - size
        await run(db, "UPDATE body SET content = ? WHERE record = ?", amendment.body, number)
    await run(db, _AMEND, amendment.at, time.time_ns(), amendment.last_event, number, growth, len(added) - len(removed))
    return True


def select_items(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return the statements that find the items of a conversation with these ids, each with the ids that it takes."""
    ids: dict[str, list[str]] = {}
    for name in names:
        ids.setdefault(_SELECT_ODDLY_NAMED if name.startswith("response.") else _SELECT_NAMED, []).append(name)
    return [(statement.format(", ".join("?" * len(theirs))), theirs) for statement, theirs in ids.items()]


def select_page(order: Order, beyond: int | None) -> tuple[str, int]:
    """Return the statement that reads a page of a conversation, and the number beyond which it does."""
    return _SELECT_PAGE_OF[order], beyond if beyond is not None else _BEFORE_ALL if order == "asc" else _AFTER_ALL


def page(rows: list[Row]) -> Page:
    """Build a page from the rows of `select_page`; each one has the number of items that there are, up to one beyond the limit."""
    return Page([StoredEvent(*row[:3]) for row in rows], bool(rows) and rows[0][3] > len(rows))


def listed(rows: list[Row], limit: int) -> tuple[list[Listed], str]:
    """Build a page from the rows of SELECT_LATEST; each one has the number of responses that there are, up to the limit."""
    more = bool(rows) and (len(rows) == limit or len(rows) < rows[0][10])
    return [Listed(record(row[:8]), row[8]) for row in rows], str(rows[-1][9]) if more else ""


def stored_trace(rows: list[Row]) -> StoredTrace:
    """Build a trace from the rows of SELECT_TRACES."""
    name, content = next((row for row in rows if row[1] is not None), ("", b""))
    return StoredTrace(name, content, frozenset(name for name, content in rows if content is None))
