"""Opening the store that PROXY_STORE selects."""

import importlib
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from codex_proxy.settings import Settings, SettingsError
from codex_proxy.store import sqlite_file
from codex_proxy.store.base import Store
from codex_proxy.store.memory import MemoryStore
from codex_proxy.store.sqlite import SqliteStore


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store until the block ends. Raises SettingsError, StoreUnavailable, StorageFull."""
    ttl, max_bytes = settings.store_ttl_hours * 3600.0, settings.store_max_mb * 1_000_000
    if settings.store == "memory":
        yield MemoryStore(ttl, max_bytes)
    elif (path := settings.store_file) is not None:
        async with SqliteStore.opened(path, ttl, max_bytes) as store:
            yield store
    else:
        try:  # the library is an extra, so the module is imported only when needed
            redis = importlib.import_module("codex_proxy.store.redis")
        except ImportError as error:
            command = f"{shlex.quote(sys.executable)} -m pip install redis"
            raise SettingsError(f"PROXY_STORE=redis needs a library. Run: {command}") from error
        async with redis.RedisStore.opened(settings.store, ttl, max_bytes) as store:
            yield store


async def check(settings: Settings) -> None:
    """Check that the store could be opened, as far as possible without changing anything. Raises as `open_store` does."""
    if (path := settings.store_file) is not None:
        sqlite_file.check(path)
    elif settings.store != "memory":
        async with open_store(settings):
            return
