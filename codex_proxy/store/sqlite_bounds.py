"""What the SQLite store forgets: entries that are too old and, beyond the size bound, those of the largest owner."""

import math

import aiosqlite

from codex_proxy.store import sql
from codex_proxy.store.sqlite_file import run

FORGET_AT_ONCE = 100  # records per transaction: a smaller bound after a restart must not block the writers for long


async def forget_surplus(db: aiosqlite.Connection, max_bytes: int, too_old: float = -math.inf) -> list[str]:
    """Forget traces, records and answers, inside a transaction; returns their names."""
    gone: list[str] = []
    while len(gone) < FORGET_AT_ONCE:
        surplus = await run(db, sql.SELECT_SURPLUS, max_bytes, too_old)
        if not surplus:
            break
        [(kind, name)] = surplus[:1]
        if kind == "trace":
            await run(db, "DELETE FROM trace WHERE name = ?", name)
        elif name is not None:
            await run(db, "DELETE FROM record WHERE id = ?", name)
        else:  # the owner has only answers; the claim itself stays, or a command would run again
            [(name,)] = await run(db, sql.SELECT_ANSWER)
            await run(db, "UPDATE claim SET answer = x'' WHERE key = ?", name)
        gone.append(name)
    return gone
