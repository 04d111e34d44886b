"""The two connections to an SQLite file: one writes and one reads, so no read waits for a write or sees half of one.

Rule: a write is one statement or one `transaction`, whose statements and rollback go through the connection's queue, so a cancelled
caller leaves nothing open. All of it raises StorageFull and StoreUnavailable.
"""

import asyncio
import functools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from codex_proxy.store import sqlite_file
from codex_proxy.store.sqlite_file import Row, in_our_words, run


class Connections:
    """A connection for writing, which one caller has at a time, and one for reading. `failures` counts errors by code."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self.failures = Counter[str]()
        self.in_our_words = functools.partial(in_our_words, path, self.failures)
        self._writer = writer
        self._reader = reader
        self._writing = asyncio.Lock()

    async def read(self, statement: str, *values: object) -> list[Row]:
        with self.in_our_words():
            return await run(self._reader, statement, *values)

    async def write(self, statement: str, *values: object) -> list[Row]:
        """Run one statement, with its own commit."""
        async with self._turn():
            return await run(self._writer, statement, *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Commit what the block does, or nothing of it if it raises."""
        async with self._turn():
            try:
                await run(self._writer, "BEGIN IMMEDIATE")
                yield self._writer
                await self._writer.commit()
            except BaseException:
                await self._writer.rollback()
                raise

    async def tidy(self, pragma: str) -> None:
        """Run a pragma as a script: vacuum yields a row per page, and `execute` stops at each row, so it would free one page."""
        async with self._turn():
            await self._writer.executescript(pragma)

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Be the only writer. Raises StoreUnavailable when others take too long: waits in vain would add up."""
        with self.in_our_words():
            try:
                async with asyncio.timeout(sqlite_file.BUSY_TIMEOUT):
                    await self._writing.acquire()
            except TimeoutError:
                raise TimeoutError("earlier writes take too long") from None
            try:
                yield
            finally:
                self._writing.release()
