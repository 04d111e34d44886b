"""What every keeper must do, in one set of tests.

To hold a keeper to it, a test module has a fixture `open_store` that gives an `Opener`, and a subclass:

    @pytest.fixture
    def open_store(...) -> Opener:
        return lambda ttl, max_bytes: MyStore.opened(..., ttl, max_bytes)

    class TestMyStore(Contract): ...

All that one test opens may be the same store; another test's is another. Nothing here is about files, servers or other
processes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from codex_proxy import tasks
from codex_proxy.errors import RecordEnded
from codex_proxy.store.keeper import RUNNING, Claim, Record, Store, StoredEvent

Opener = Callable[[float, int], AbstractAsyncContextManager[Store]]

LIMIT = 5.0  # seconds for what is to happen at once
TTL = 3600.0
ROOMY = 64 * 1024 * 1024
NARROW = 1024 * 1024


def a_record(name: str = "resp_1", *, status: str = "in_progress", age: float = 0, body: bytes = b"{}") -> Record:
    """A record of "anna", held by "here", created `age` seconds ago."""
    created_at = int(time.time() - age)
    items, conversation = b'[{"type":"message"}]', b'["said before"]'
    return Record(
        id=name,
        owner="anna",
        created_at=created_at,
        status=status,
        body=body,
        input_items=items,
        conversation=conversation,
        holder="here",
    )


def ended(record: Record) -> Record:
    """The record as its holder leaves it."""
    return msgspec.structs.replace(record, status="completed", body=b'{"output":[]}', conversation=b"[1,2]", holder=None)


def some_events(first: int, last: int) -> list[StoredEvent]:
    """Events of the numbers `first` to `last`."""
    return [StoredEvent(number, "response.output_text.delta", b'{"n":%d}' % number) for number in range(first, last + 1)]


async def until(fact: Callable[[], Awaitable[object]]) -> None:
    """Wait for what only time brings about: the end of a lease or a claim."""
    async with asyncio.timeout(LIMIT):
        while not await fact():
            await asyncio.sleep(0.01)


class Contract:
    """The tests; see the head of the module."""

    @pytest.fixture
    async def store(self, open_store: Opener) -> AsyncIterator[Store]:
        """A store with room for all that a test puts in."""
        async with open_store(TTL, ROOMY) as opened:
            yield opened

    async def test_a_record_comes_back_as_it_was_kept(self, store: Store) -> None:
        binary = bytes(range(256))
        record = msgspec.structs.replace(a_record(body=binary), input_items=b"\0", conversation=b"", holder=None)
        await store.create(record)
        assert await store.get("anna", record.id) == record

    async def test_a_cancel_that_was_wanted_from_the_beginning_is_kept(self, store: Store) -> None:
        record = msgspec.structs.replace(a_record(), cancel_wanted=True)
        await store.create(record)
        assert await store.get("anna", record.id) == record

    async def test_there_is_nothing_where_nothing_was_kept(self, store: Store) -> None:
        assert await store.get("anna", "resp_1") is None
        assert await store.events("anna", "resp_1", -1) == []
        assert not await store.delete("anna", "resp_1")
        assert not await store.want_cancel("anna", "resp_1")
        assert await store.orphans() == []

    async def test_names_are_only_names(self, store: Store) -> None:
        for name in ("", "ä😀", "' OR 1=1 --", "a\nb", "a\0b", "*", "x" * 5000):
            assert await store.get("anna", name) is None
            assert await store.get(name, "resp_1") is None
            await store.create(a_record(name))
            found = await store.get("anna", name)
            assert found is not None
            assert found.id == name

    async def test_a_record_does_not_exist_to_others_than_its_owner(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        await store.update(record, some_events(0, 3))
        assert await store.get("bert", record.id) is None
        assert await store.events("bert", record.id, -1) == []
        assert not await store.want_cancel("bert", record.id)
        assert not await store.delete("bert", record.id)
        assert await store.get("anna", record.id) == record

    async def test_an_update_replaces_the_record(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        assert await store.update(ended(record))
        assert await store.get("anna", record.id) == ended(record)

    async def test_an_end_stays_and_can_be_written_twice(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        assert await store.update(ended(record), some_events(0, 1))
        assert await store.update(ended(record), some_events(0, 1))
        for other in (
            record,
            msgspec.structs.replace(ended(record), status="failed"),
            msgspec.structs.replace(ended(record), body=b"2"),
        ):
            with pytest.raises(RecordEnded):
                await store.update(other)
            with pytest.raises(RecordEnded):
                await store.update(other, some_events(1, 5))
        assert await store.get("anna", record.id) == ended(record)
        assert await store.events("anna", record.id, -1) == some_events(0, 1)

    async def test_an_update_of_a_deleted_record_keeps_nothing(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        assert await store.delete("anna", record.id)
        assert not await store.update(ended(record), some_events(0, 3))
        assert await store.get("anna", record.id) is None
        assert await store.events("anna", record.id, -1) == []

    async def test_a_deleted_record_takes_its_events_along(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        await store.update(record, some_events(0, 3))
        assert await store.delete("anna", record.id)
        assert not await store.delete("anna", record.id)
        await store.create(record)
        assert await store.events("anna", record.id, -1) == []

    async def test_events_come_in_order_and_after_a_number(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        await store.update(record, some_events(0, 8))
        await store.update(record)
        await store.update(ended(record), some_events(9, 12))
        assert await store.events("anna", record.id, -1) == some_events(0, 12)
        assert await store.events("anna", record.id, 8) == some_events(9, 12)
        assert await store.events("anna", record.id, 12) == []

    async def test_a_long_stream_is_read_in_bounded_parts(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        await store.update(record, some_events(0, 4999))
        seen: list[StoredEvent] = []
        while part := await store.events("anna", record.id, len(seen) - 1):
            assert len(part) <= 1000
            seen += part
        assert seen == some_events(0, 4999)

    async def test_a_wanted_cancel_is_seen_and_outlives_updates(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        assert await store.want_cancel("anna", record.id)
        await store.update(record, some_events(0, 0))
        found = await store.get("anna", record.id)
        assert found is not None
        assert found.cancel_wanted

    @pytest.mark.parametrize("status", RUNNING)
    async def test_what_runs_can_be_cancelled(self, store: Store, status: str) -> None:
        await store.create(a_record(status=status))
        assert await store.want_cancel("anna", "resp_1")

    async def test_what_has_ended_cannot_be_cancelled(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        await store.update(ended(record))
        assert not await store.want_cancel("anna", record.id)
        assert await store.get("anna", record.id) == ended(record)

    async def test_every_change_wakes_who_waits_for_it(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        await store.claim("key", "hash", TTL)
        changes: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            (record.id, lambda: store.update(record)),
            (record.id, lambda: store.want_cancel("anna", record.id)),
            (record.id, lambda: store.delete("anna", record.id)),
            ("key", lambda: store.answer("key", b"{}")),
            ("key", lambda: store.release("key")),
        ]
        for name, change in changes:
            async with asyncio.timeout(LIMIT):
                await asyncio.gather(store.changed(name, 60), store.changed(name, 60), change())

    async def test_a_reader_that_waits_in_between_misses_no_change(self, store: Store) -> None:
        record = a_record()
        await store.create(record)

        async def write() -> None:
            for number in range(100):
                await store.update(record, some_events(number, number))

        async def read() -> None:
            seen = 0
            while seen < 100:
                if part := await store.events("anna", record.id, seen - 1):
                    seen += len(part)
                else:
                    await store.changed(record.id, 60)

        async with asyncio.timeout(LIMIT):
            await asyncio.gather(write(), read(), read())

    async def test_a_wait_for_what_does_not_change_ends_in_time_and_does_not_spin(self, store: Store) -> None:
        await store.create(a_record())
        loop = asyncio.get_running_loop()
        end, rounds = loop.time() + 1, 0
        while (left := end - loop.time()) > 0:
            rounds += 1
            async with asyncio.timeout(left + LIMIT):
                await store.changed("resp_1", left)
        assert rounds <= 5

    async def test_a_claim_is_ours_once(self, store: Store) -> None:
        assert await store.claim("key", "hash", TTL) is None
        assert await store.claim("key", "another hash", TTL) == Claim("hash")
        assert await store.claim("another key", "hash", TTL) is None

    async def test_of_many_that_claim_at_once_one_gets_it(self, store: Store) -> None:
        found = await asyncio.gather(*(store.claim("key", f"hash {number}", TTL) for number in range(20)))
        assert found.count(None) == 1
        assert len({claim for claim in found if claim}) == 1

    async def test_a_claim_has_its_answer(self, store: Store) -> None:
        await store.claim("key", "hash", TTL)
        await store.answer("key", b"\0answer")
        assert await store.claim("key", "hash", TTL) == Claim("hash", b"\0answer")

    async def test_what_nobody_claimed_cannot_be_answered(self, store: Store) -> None:
        await store.answer("key", b"{}")
        await store.release("key")
        assert await store.claim("key", "hash", TTL) is None

    async def test_a_released_claim_can_be_claimed_again(self, store: Store) -> None:
        await store.claim("key", "hash", TTL)
        await store.release("key")
        assert await store.claim("key", "new hash", TTL) is None
        assert await store.claim("key", "hash", TTL) == Claim("new hash")

    async def test_a_claim_ends_by_itself_and_an_answer_does_not_prolong_it(self, store: Store) -> None:
        await store.claim("key", "hash", 0.2)
        await store.claim("lasting", "hash", TTL)
        await store.answer("key", b"{}")

        async def gone() -> bool:
            return await store.claim("key", "new hash", TTL) is None

        await until(gone)
        assert await store.claim("lasting", "hash", TTL) == Claim("hash")

    async def test_a_running_record_is_an_orphan_without_the_lease_of_its_holder(self, store: Store) -> None:
        here, nobodys = a_record("here"), msgspec.structs.replace(a_record("nobody's"), holder=None)
        await store.create(here)
        await store.create(nobodys)
        await store.create(ended(a_record("ended")))
        assert sorted(await store.orphans(), key=lambda record: record.id) == [here, nobodys]
        await store.renew("here", TTL)
        await store.renew("elsewhere", TTL)
        assert await store.orphans() == [nobodys]

    async def test_a_lease_ends_unless_it_is_renewed(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        await store.renew("here", 0.1)
        await until(store.orphans)
        await store.renew("here", TTL)
        assert await store.orphans() == []

    async def test_a_shorter_lease_ends_the_longer_one(self, store: Store) -> None:
        await store.create(a_record())
        await store.renew("here", TTL)
        await store.renew("here", 0.1)
        await until(store.orphans)

    async def test_an_orphan_that_was_failed_is_none_any_more(self, store: Store) -> None:
        record = a_record()
        await store.create(record)
        [orphan] = await store.orphans()
        await store.update(msgspec.structs.replace(orphan, status="failed"))
        assert await store.orphans() == []

    async def test_a_sweep_forgets_what_is_too_old_and_has_ended(self, store: Store) -> None:
        old, young = ended(a_record("old", age=100)), ended(a_record("young"))
        running = a_record("running", age=100)
        for record in (old, young, running):
            await store.create(msgspec.structs.replace(record, status="queued"))
            await store.update(record, some_events(0, 3))
        await store.sweep(int(time.time() + TTL - 50))
        assert await store.get("anna", "old") is None
        assert await store.events("anna", "old", -1) == []
        assert await store.get("anna", "young") == young
        assert await store.get("anna", "running") == running
        assert await store.events("anna", "running", -1) == some_events(0, 3)

    async def test_a_sweep_takes_more_than_a_handful(self, store: Store) -> None:
        for number in range(500):
            await store.create(ended(a_record(str(number))))
        await store.sweep(int(time.time() + TTL + 10))
        assert [number for number in range(500) if await store.get("anna", str(number))] == []

    async def test_leases_and_claims_outlive_a_sweep(self, store: Store) -> None:
        await store.create(a_record())
        await store.renew("here", TTL)
        await store.claim("key", "hash", TTL)
        await store.sweep(int(time.time()))
        assert await store.orphans() == []
        assert await store.claim("key", "hash", TTL) == Claim("hash")

    async def test_of_too_much_the_oldest_goes_first(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            for number in range(200):
                await store.create(a_record(str(number), age=300 - number, body=b"x" * 20_000))
                await store.update(
                    msgspec.structs.replace(a_record(str(number), age=300 - number, body=b"x" * 20_000), status="failed")
                )
            await store.sweep(int(time.time()))
            kept = [number for number in range(200) if await store.get("anna", str(number))]
            assert kept == list(range(200 - len(kept), 200))
            assert NARROW // 2 < len(kept) * 20_000 <= NARROW

    async def test_what_runs_is_kept_however_much_there_is(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            await store.create(a_record("running", age=300))
            for number in range(100):
                await store.create(a_record(str(number), body=b"x"))
                await store.update(msgspec.structs.replace(a_record(str(number), body=b"x" * 20_000), status="completed"))
            await store.sweep(int(time.time()))
            assert await store.get("anna", "running") is not None
            assert await store.get("anna", "99") is not None
            assert await store.get("anna", "0") is None

    async def test_events_count_for_the_bound(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            for name in ("first", "second", "third"):
                record = a_record(name)
                await store.create(record)
                await store.update(ended(record), [StoredEvent(number, "delta", b"x" * 10_000) for number in range(60)])
            await store.sweep(int(time.time()))
            assert await store.get("anna", "first") is None
            assert len(await store.events("anna", "third", -1)) == 60

    @pytest.mark.slow
    async def test_ten_thousand_records_stay_within_the_bound(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            for number in range(10_000):
                await store.create(ended(msgspec.structs.replace(a_record(str(number)), input_items=b"x" * 1000)))
            await store.sweep(int(time.time()))
            kept = [number for number in range(10_000) if await store.get("anna", str(number))]
            assert kept == list(range(10_000 - len(kept), 10_000))
            assert NARROW // 4 < len(kept) * 1000 <= NARROW

    async def test_many_callers_at_once_do_not_get_in_each_others_way(self, store: Store) -> None:
        async def live(name: str) -> None:
            record = a_record(name)
            await store.create(record)
            for number in range(5):
                await store.update(record, some_events(number, number))
            assert await store.events("anna", name, -1) == some_events(0, 4)
            assert await store.delete("anna", name)

        async with asyncio.timeout(60):
            await asyncio.gather(*(live(str(number)) for number in range(100)))

    async def test_a_cancelled_call_is_done_or_not_and_harms_no_other(self, store: Store) -> None:
        for steps in range(60):
            record = a_record(str(steps))
            await store.create(record)
            call = tasks.spawn("update", store.update(ended(record), some_events(0, 3)))
            for _ in range(steps):
                await asyncio.sleep(0)
            await tasks.see_out(call)
            done = await store.get("anna", record.id) == ended(record)
            assert await store.events("anna", record.id, -1) == (some_events(0, 3) if done else [])
            if not done:
                assert await store.update(record, some_events(4, 4))
