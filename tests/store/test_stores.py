"""The stores that need no server, held to the contract."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from codex_proxy.store.base import Store
from codex_proxy.store.memory import MemoryStore
from codex_proxy.store.sqlite import SqliteStore
from tests.store.contract import Contract, Opener


@asynccontextmanager
async def _in_memory(ttl: float, max_bytes: int) -> AsyncIterator[Store]:
    store = MemoryStore(ttl, max_bytes)
    try:
        yield store
    finally:
        await store.close()


class TestMemory(Contract):
    """The measure for the others."""

    @pytest.fixture
    def open_store(self) -> Opener:
        return _in_memory


class TestSqlite(Contract):
    """Through the file system that the tests' directory is on."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Opener:
        return lambda ttl, max_bytes: SqliteStore.opened(tmp_path / "responses.db", ttl, max_bytes)
