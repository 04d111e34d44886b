"""The heart of an instance: it beats on, whatever the store answers."""

import asyncio

import msgspec
import pytest

from codex_proxy.errors import StoreUnavailable
from codex_proxy.lifecycle.background import follow
from codex_proxy.lifecycle.instance import BEAT, Instance
from codex_proxy.store.base import Change, Record, StoredEvent
from codex_proxy.store.memory import MemoryStore
from tests.dialects.responses import BLANK
from tests.support import virtual_time

_BODY = msgspec.json.encode(BLANK)


class _Store(MemoryStore):
    """Answers nonsense once."""

    beats = 0

    async def renew(self, holder: str, lease: float) -> None:
        self.beats += 1
        await super().renew(holder, lease)

    async def orphans(self) -> list[Record]:
        if self.beats == 2:
            raise TypeError("cannot unpack")
        return await super().orphans()


def test_the_heart_beats_on_after_nonsense_and_ends_a_record_whose_body_is_damaged() -> None:
    async def main() -> None:
        store = _Store(3600, 1_000_000)
        bodies = (b"\xff", b'{"id":"\xff"}', b'{"id":' * 10_000, b"[]", b"{}")
        damaged = {f"resp_{number}": body for number, body in enumerate(bodies)}
        async with Instance(store).alive():
            for name, body in damaged.items():
                record = Record(id=name, owner="ann", created_at=0, status="in_progress", body=body, holder="gone")
                await store.create(record, b"[]", b"[]")
            await asyncio.sleep(3.5 * BEAT)
            assert store.beats == 4
            found = [await store.get("ann", name) for name in damaged]
            with pytest.raises(StoreUnavailable):  # there is no last event
                _ = [event async for event in follow(store, "ann", "resp_0", -1)]
        assert [record and record.status for record in found] == ["failed"] * len(bodies)

    virtual_time.run(main())


class _Sneaking(MemoryStore):
    """Its holder, which is taken for dead, writes one more event when others have just looked."""

    async def orphans(self) -> list[Record]:
        found = await super().orphans()
        for record in found[:1]:
            if record.last_event < 3:
                event = StoredEvent(record.last_event + 1, "response.output_text.delta", b"{}")
                await self.update(Change(id=record.id, status="in_progress", events=(event,)))
        return found


def test_the_end_of_an_orphan_comes_after_all_its_events() -> None:
    async def main() -> None:
        store = _Sneaking(3600, 1_000_000)
        async with Instance(store).alive():
            await store.create(
                Record(id="r", owner="ann", created_at=0, status="in_progress", body=_BODY, holder="gone"), b"[]", b"[]"
            )
            seen = [event async for event in follow(store, "ann", "r", -1)]
        assert [event.number for event in seen] == [0, 1, 2, 3, 4]
        assert [event.type for event in seen[-2:]] == ["response.output_text.delta", "response.failed"]

    virtual_time.run(main())


class _Stuck(MemoryStore):
    """Never takes the ends of some records, and takes its time for that."""

    async def update(self, change: Change) -> bool:
        if change.id.startswith("stuck"):
            await asyncio.sleep(3)
            raise StoreUnavailable("It cannot be written.") if change.id == "stuck 0" else TypeError("cannot unpack")
        return await super().update(change)


def test_orphans_whose_end_always_fails_stop_neither_the_others_nor_the_heart() -> None:
    async def main() -> None:
        store = _Stuck(3600, 1_000_000)
        instance = Instance(store)
        async with instance.alive():
            for name in (*(f"stuck {number}" for number in range(4)), "r 0", "r 1"):
                holder = instance.name if name == "r 1" else "gone"
                record = Record(id=name, owner="ann", created_at=0, status="in_progress", body=_BODY, holder=holder)
                await store.create(record, b"[]", b"[]")
            for _ in range(10):
                await asyncio.sleep(BEAT)
                assert await store.alive(instance.name)
            found = [await store.get("ann", f"r {number}") for number in range(2)]
        assert [record and record.status for record in found] == ["failed", "failed"]

    virtual_time.run(main())
