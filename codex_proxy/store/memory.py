"""The store that forgets everything when the process ends; the reference for the others."""

import asyncio
import bisect
import contextlib
import itertools
import math
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from codex_proxy.errors import RecordEnded
from codex_proxy.store.base import (
    CONVERSATION,
    ENDED_MESSAGE,
    EVENTS_BYTES,
    Amendment,
    Change,
    Claim,
    Extent,
    Listed,
    Order,
    Page,
    Record,
    Sizes,
    StoredEvent,
    StoredTrace,
)
from codex_proxy.store.memory_claims import MemoryClaims
from codex_proxy.store.memory_records import Kept, number_of
from codex_proxy.store.memory_traces import MemoryTraces
from codex_proxy.store.rates import Hit

EVENTS_AT_ONCE = 1000


class MemoryStore:
    """A store in memory. Beyond `max_bytes`, what ended first of the largest owner goes first; after `ttl` seconds, any."""

    def __init__(self, ttl: float, max_bytes: int) -> None:
        self.failures = Counter[str]()
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._kept: dict[str, Kept] = {}  # oldest first
        self._ended: dict[str, Kept] = {}  # those that are not running, in the order in which they ended
        self._leases: dict[str, float] = {}  # holder -> end of its lease
        self._changes = weakref.WeakValueDictionary[str, asyncio.Event]()  # by record or claim that someone waits for
        self._bytes = Counter[str]()  # by owner
        self._claims = MemoryClaims(self._bytes)
        self._traces = MemoryTraces(self._bytes)
        self._numbers = itertools.count(1)

    async def create(self, record: Record, input_items: bytes, conversation: bytes) -> None:
        if record.id in self._kept:
            return
        self._kept[record.id] = kept = Kept(record, input_items, conversation, next(self._numbers))
        self._bytes[record.owner] += kept.size
        if not record.running:
            self._ended[record.id] = kept
        self._shrink()

    async def update(self, change: Change) -> bool:
        if (kept := self._kept.get(change.id)) is None:
            return False
        if not kept.record.running:
            if (kept.record.status, kept.record.body) == (change.status, change.body):
                return True
            raise RecordEnded(ENDED_MESSAGE)
        if change.after not in (None, kept.record.last_event):
            raise RecordEnded(ENDED_MESSAGE)
        before = kept.size
        kept.take(change)
        self._bytes[kept.record.owner] += kept.size - before
        self._tell(change.id)
        if kept.record.running:
            self._shrink()
        else:  # makes no room at once: its own readers have yet to see the end
            kept.ended = next(self._numbers)
            self._ended[change.id] = kept
        return True

    async def amend(self, owner: str, amendment: Amendment) -> bool:
        kept = self._conversation(owner, amendment.id)
        if kept is None or kept.record.last_event != amendment.after:
            return False
        before = kept.size
        kept.amend(amendment, next(self._numbers))
        self._bytes[owner] += kept.size - before
        for records in (self._kept, self._ended):
            records[amendment.id] = records.pop(amendment.id)
        self._tell(amendment.id)
        self._shrink()
        return True

    async def get(self, owner: str, record_id: str) -> Record | None:
        kept = self._owned(owner, record_id)
        return None if kept is None else kept.record

    async def input_items(self, owner: str, record_id: str) -> bytes | None:
        kept = self._owned(owner, record_id)
        return None if kept is None else kept.input_items

    async def sizes(self, owner: str, record_id: str) -> Sizes | None:
        kept = self._owned(owner, record_id)
        if kept is None or not kept.record.of_response:
            return None
        conversation = len(kept.conversation) + sum(len(part.content) for part in kept.parts)
        return Sizes(len(kept.record.body), len(kept.input_items), conversation)

    async def conversation(self, owner: str, record_id: str) -> list[bytes] | None:
        kept = self._owned(owner, record_id)
        return None if kept is None else [kept.conversation, *(part.content for part in kept.parts)]

    async def latest(self, owner: str, limit: int, most: int, after: str = "") -> tuple[list[Listed], str]:
        before = float(after or "inf")
        listed = (kept for kept in reversed(self._kept.values()) if kept.record.status != CONVERSATION)
        own = (kept for kept in listed if kept.record.owner == owner and kept.number < before)
        near = list(itertools.islice(own, limit))
        page = near[: _fitting((len(kept.record.body) + len(kept.input_items) for kept in near), most)]
        more = len(page) < len(near) or len(page) == limit
        return [Listed(kept.record, kept.input_items) for kept in page], str(page[-1].number) if more else ""

    async def delete(self, owner: str, record_id: str) -> bool:
        if self._owned(owner, record_id) is None:
            return False
        self._forget(record_id)
        return True

    async def want_cancel(self, owner: str, record_id: str) -> bool:
        kept = self._owned(owner, record_id)
        if kept is None or not kept.record.running:
            return False
        kept.record = msgspec.structs.replace(kept.record, cancel_wanted=True)
        self._tell(record_id)
        return True

    async def events(self, owner: str, record_id: str, after: int) -> list[StoredEvent]:
        if (kept := self._owned(owner, record_id)) is None:
            return []
        begin = bisect.bisect_right(kept.events, after, key=number_of)
        near = kept.events[begin : begin + EVENTS_AT_ONCE]
        return near[: _fitting((len(event.content) for event in near), EVENTS_BYTES)]

    async def find(self, owner: str, record_id: str, types: Sequence[str]) -> list[StoredEvent]:
        kept = self._conversation(owner, record_id)
        wanted = frozenset(types)
        return [event for event in kept.events if event.type in wanted] if kept else []

    async def page(self, owner: str, record_id: str, limit: int, order: Order, beyond: int | None, most: int) -> Page:
        kept = self._conversation(owner, record_id)
        events = kept.events if kept else []
        if order == "asc":
            begin = 0 if beyond is None else bisect.bisect_right(events, beyond, key=number_of)
            near = events[begin : begin + limit + 1]
        else:
            end = len(events) if beyond is None else bisect.bisect_left(events, beyond, key=number_of)
            near = events[max(0, end - limit - 1) : end][::-1]
        fit = min(limit, _fitting((len(event.content) for event in near), most))
        return Page(near[:fit], len(near) > fit)

    async def extent(self, owner: str, record_id: str) -> Extent | None:
        kept = self._conversation(owner, record_id)
        return Extent(len(kept.events), kept.size) if kept else None

    async def changed(self, record_id: str, timeout: float) -> None:
        change = self._changes.setdefault(record_id, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await change.wait()

    async def claim(self, key: str, owner: str, fingerprint: str, holder: str, lease: float) -> Claim | None:
        return self._claims.claim(key, owner, fingerprint, holder, lease)

    async def bind(self, key: str, holder: str, ttl: float, response_id: str | None) -> bool:
        if bound := self._claims.bind(key, holder, ttl, response_id):
            self._tell(key)
        return bound

    async def answer(self, key: str, holder: str, answer: bytes) -> None:
        if self._claims.answer(key, holder, answer, next(self._numbers)):
            self._tell(key)
            self._shrink()

    async def release(self, key: str, holder: str) -> None:
        if self._claims.release(key, holder):
            self._tell(key)

    async def keep_trace(self, owner: str, name: str, identity: str, content: bytes, ttl: float, instead: str) -> None:
        self._traces.keep(owner, name, identity, content, ttl, instead)
        self._shrink()

    async def trace(self, owner: str, names: Sequence[str]) -> StoredTrace:
        return self._traces.find(owner, names)

    async def renew(self, holder: str, lease: float) -> None:
        self._leases[holder] = time.monotonic() + lease

    async def alive(self, holder: str) -> bool:
        return self._leases.get(holder, 0.0) >= time.monotonic()

    async def orphans(self) -> list[Record]:
        now = time.monotonic()
        alive = {holder for holder, end in self._leases.items() if end >= now}
        return [record for record in self._running() if record.holder not in alive]

    async def held(self, holder: str) -> list[Record]:
        return [record for record in self._running() if record.holder == holder]

    async def hit(self, caller: str, amount: int, window: float) -> Hit | None:
        return None

    async def sweep(self, now: int) -> None:
        self._traces.forget_old()
        for record in [kept.record for kept in self._kept.values()]:
            if record.created_at < now - self._ttl and not record.running:
                self._forget(record.id)
        self._shrink()

    async def close(self) -> None:
        self._kept.clear()
        self._ended.clear()

    def _tell(self, name: str) -> None:
        if change := self._changes.pop(name, None):
            change.set()

    def _owned(self, owner: str, record_id: str) -> Kept | None:
        kept = self._kept.get(record_id)
        return kept if kept is not None and kept.record.owner == owner else None

    def _conversation(self, owner: str, record_id: str) -> Kept | None:
        kept = self._owned(owner, record_id)
        return kept if kept is not None and not kept.record.of_response else None

    def _running(self) -> list[Record]:
        return [kept.record for kept in self._kept.values() if kept.record.running]

    def _forget(self, record_id: str) -> None:
        kept = self._kept.pop(record_id)
        self._ended.pop(record_id, None)
        self._bytes[kept.record.owner] -= kept.size
        self._tell(record_id)

    def _shrink(self) -> None:
        largest = iter(self._bytes.most_common())
        while self._bytes.total() > self._max_bytes and (owner := next(largest, None)) is not None:
            if self._forget_oldest(owner[0]):
                largest = iter(self._bytes.most_common())

    def _forget_oldest(self, owner: str) -> bool:
        """Forget a trace of an owner, or else an ended record or an answer. Returns False if there is none."""
        if self._traces.forget_oldest(owner):
            return True
        kept = next((one for one in self._ended.values() if one.record.owner == owner), None)
        if self._claims.forget_oldest(owner, math.inf if kept is None else kept.ended):
            return True
        if kept is not None:
            self._forget(kept.record.id)
        return kept is not None


def _fitting(sizes: Iterable[int], most: int) -> int:
    """Return how many of these fit into `most` bytes; at least one."""
    return max(1, sum(size <= most for size in itertools.accumulate(sizes)))
