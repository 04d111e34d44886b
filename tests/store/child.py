"""Another process on a store: python -m tests.store.child WAY PLACE NAME; the place is a file, or the URL of a Redis.

One function for each way. It says on stdout what has been done, once the store has said so.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from codex_proxy.store.base import Store
from codex_proxy.store.redis import RedisStore
from codex_proxy.store.sqlite import SqliteStore
from tests.store.contract import ROOMY, TTL, a_record, change, ended, put, some_events

LEASE = 0.4  # seconds


async def writes_in_a_loop(store: Store, name: str) -> None:
    """Until it is killed: creates, updates with events, deletes and sweeps. A line for each record that is complete."""
    number = 0
    while True:
        number += 1
        record = a_record(f"{name}-{number}", body=b"x" * 20_000)
        await put(store, record)
        await put(store, ended(msgspec.structs.replace(record, id=f"{name}-passing")))
        await store.update(change(ended(record), some_events(0, 9)))
        print(record.id, flush=True)
        await store.delete("anna", f"{name}-passing")
        if number % 10 == 0:
            await store.sweep(record.created_at)


async def ends_a_record_when_told(store: Store, name: str) -> None:
    """Once there is a line on stdin."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await store.update(change(ended(a_record(name)), some_events(0, 0)))


async def lives(store: Store, name: str) -> None:
    """Holds a record of this name, by the name's own lease, until it is killed."""
    await store.renew(name, LEASE)
    await put(store, msgspec.structs.replace(a_record(name), holder=name))
    while isinstance(store, RedisStore) and not store._changes.listening:
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    while True:
        await asyncio.sleep(LEASE / 4)
        await store.renew(name, LEASE)


async def _main(way: str, file: str, name: str) -> None:
    opened = RedisStore.opened(file, TTL, ROOMY) if file.startswith("redis://") else SqliteStore.opened(Path(file), TTL, ROOMY)
    async with opened as store:
        await WAYS[way](store, name)


WAYS = {way.__name__: way for way in (writes_in_a_loop, ends_a_record_when_told, lives)}

if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
