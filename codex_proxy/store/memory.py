"""The keeper that forgets everything when the process ends; the measure for the others."""

import asyncio
import contextlib
import time
import weakref
from collections.abc import Sequence

import msgspec

from codex_proxy.errors import RecordEnded
from codex_proxy.store.keeper import ENDED_MESSAGE, RUNNING, Claim, Record, StoredEvent

EVENTS_AT_ONCE = 1000


class MemoryStore:
    """Within `ttl` seconds and `max_bytes`, oldest goes first."""

    def __init__(self, ttl: float, max_bytes: int) -> None:
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._records: dict[str, Record] = {}  # oldest first
        self._events: dict[str, list[StoredEvent]] = {}
        self._claims: dict[str, tuple[Claim, float]] = {}  # key -> claim, end of its life by the monotonic clock
        self._leases: dict[str, float] = {}  # holder -> end of its lease
        self._changes = weakref.WeakValueDictionary[str, asyncio.Event]()  # of records that somebody waits for
        self._bytes = 0

    async def create(self, record: Record) -> None:
        self._records[record.id] = record
        self._events[record.id] = []
        self._bytes += record.size
        self._shrink()

    async def update(self, changed: Record, events: Sequence[StoredEvent] = ()) -> bool:
        if (kept := self._records.get(changed.id)) is None:
            return False
        if kept.status not in RUNNING:
            if (kept.status, kept.body) == (changed.status, changed.body):
                return True
            raise RecordEnded(ENDED_MESSAGE)
        self._bytes += changed.size - kept.size + sum(len(event.content) for event in events)
        self._records[changed.id] = msgspec.structs.replace(changed, cancel_wanted=kept.cancel_wanted)
        self._events[changed.id] += events
        self._tell(changed.id)
        self._shrink()
        return True

    async def get(self, owner: str, record_id: str) -> Record | None:
        record = self._records.get(record_id)
        return record if record is not None and record.owner == owner else None

    async def delete(self, owner: str, record_id: str) -> bool:
        if await self.get(owner, record_id) is None:
            return False
        self._forget(record_id)
        return True

    async def want_cancel(self, owner: str, record_id: str) -> bool:
        record = await self.get(owner, record_id)
        if record is None or record.status not in RUNNING:
            return False
        self._records[record_id] = msgspec.structs.replace(record, cancel_wanted=True)
        self._tell(record_id)
        return True

    async def events(self, owner: str, record_id: str, after: int) -> list[StoredEvent]:
        if await self.get(owner, record_id) is None:
            return []
        return [event for event in self._events[record_id] if event.number > after][:EVENTS_AT_ONCE]

    async def changed(self, record_id: str, timeout: float) -> None:
        change = self._changes.setdefault(record_id, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await change.wait()

    async def claim(self, key: str, fingerprint: str, ttl: float) -> Claim | None:
        now = time.monotonic()
        for old in [old for old, (_, end) in self._claims.items() if end < now]:
            del self._claims[old]
        if key in self._claims:
            return self._claims[key][0]
        self._claims[key] = (Claim(fingerprint), now + ttl)
        return None

    async def answer(self, key: str, answer: bytes) -> None:
        if key in self._claims:
            claim, end = self._claims[key]
            self._claims[key] = (Claim(claim.fingerprint, answer), end)
            self._tell(key)

    async def release(self, key: str) -> None:
        self._claims.pop(key, None)
        self._tell(key)

    async def renew(self, holder: str, lease: float) -> None:
        self._leases[holder] = time.monotonic() + lease

    async def orphans(self) -> list[Record]:
        now = time.monotonic()
        alive = {holder for holder, end in self._leases.items() if end >= now}
        return [record for record in self._records.values() if record.status in RUNNING and record.holder not in alive]

    async def sweep(self, now: int) -> None:
        for record in [record for record in self._records.values() if record.created_at < now - self._ttl]:
            if record.status not in RUNNING:
                self._forget(record.id)

    async def close(self) -> None:
        self._records.clear()

    def _tell(self, name: str) -> None:
        if change := self._changes.pop(name, None):
            change.set()

    def _forget(self, record_id: str) -> None:
        record, events = self._records.pop(record_id), self._events.pop(record_id)
        self._bytes -= record.size + sum(len(event.content) for event in events)
        self._tell(record_id)

    def _shrink(self) -> None:
        ended = (record.id for record in list(self._records.values()) if record.status not in RUNNING)
        for record_id in ended:
            if self._bytes <= self._max_bytes:
                return
            self._forget(record_id)
