"""What every store must do, in one set of tests.

To hold a store to it, a test module has a fixture `open_store` that gives an `Opener`, and a subclass:

    @pytest.fixture
    def open_store(...) -> Opener:
        return lambda ttl, max_bytes: MyStore.opened(..., ttl, max_bytes)

    class TestMyStore(Contract): ...

All that one test opens may be the same store; another test's is another. Nothing here is about files, servers or other
processes.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from codex_proxy import tasks
from codex_proxy.errors import RecordEnded
from codex_proxy.store.base import (
    CONVERSATION,
    RUNNING,
    Amendment,
    Change,
    Claim,
    Extent,
    Order,
    Page,
    Record,
    Sizes,
    Store,
    StoredEvent,
    StoredPart,
    StoredTrace,
)

Opener = Callable[[float, int], AbstractAsyncContextManager[Store]]

LIMIT = 5.0  # seconds for what is to happen at once
TTL = 3600.0
ROOMY = 64 * 1024 * 1024
NARROW = 1024 * 1024


def a_record(name: str = "resp_1", *, status: str = "in_progress", age: float = 0, body: bytes = b"{}") -> Record:
    """A record of "anna", held by "here", created `age` seconds ago."""
    created_at = int(time.time() - age)
    return Record(id=name, owner="anna", created_at=created_at, status=status, body=body, holder="here")


async def put(store: Store, record: Record, conversation: bytes = b'["said before"]') -> None:
    """Create a record with an input."""
    await store.create(record, b'[{"type":"message"}]', conversation)


def ended(record: Record, last_event: int = -1) -> Record:
    """The record as its holder leaves it."""
    return msgspec.structs.replace(record, status="completed", body=b'{"output":[]}', last_event=last_event)


def a_conversation(age: float = 0) -> Record:
    """A conversation of "anna", without items."""
    return Record(id="conv_1", owner="anna", created_at=int(time.time() - age), status=CONVERSATION, body=b"{}")


def an_item(number: int) -> StoredEvent:
    """An item of a conversation."""
    return StoredEvent(number, f"msg_{number}", b'{"n":%d}' % number)


def amendment(after: int = -1, added: Sequence[int] = (), removed: Sequence[int] = ()) -> Amendment:
    """A change of `a_conversation`, made now."""
    items = [an_item(number) for number in added]
    return Amendment(id="conv_1", at=int(time.time()), after=after, added=items, removed=[an_item(number) for number in removed])


def change(record: Record, events: Sequence[StoredEvent] = (), parts: Sequence[StoredPart] = ()) -> Change:
    """What makes a record of this id so."""
    return Change(id=record.id, status=record.status, body=record.body, parts=parts, events=events)


def some_events(first: int, last: int) -> list[StoredEvent]:
    """Events of the numbers `first` to `last`."""
    return [StoredEvent(number, "response.output_text.delta", b'{"n":%d}' % number) for number in range(first, last + 1)]


async def claim(store: Store, key: str, holder: str, fingerprint: str = "hash", *, lease: float = TTL) -> Claim | None:
    """Claim a key of "anna"; the claim of another is given back without its holder."""
    found = await store.claim(key, "anna", fingerprint, holder, lease)
    return found and msgspec.structs.replace(found, holder="")


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
        record = msgspec.structs.replace(a_record(body=binary), holder=None)
        await store.create(record, b"\0", binary)
        assert await store.get("anna", record.id) == record
        assert await store.input_items("anna", record.id) == b"\0"
        assert await store.conversation("anna", record.id) == [binary]

    async def test_a_record_can_be_created_twice_and_stays_as_it_is(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        await store.update(change(ended(record), some_events(0, 3)))
        await put(store, record, conversation=b"[]")
        assert await store.get("anna", "resp_1") == ended(record, last_event=3)
        assert await store.conversation("anna", "resp_1") == [b'["said before"]']

    async def test_what_a_response_adds_to_its_conversation_comes_after_its_beginning(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        for number in (0, 2, 3, 12):
            await store.update(change(record, parts=[StoredPart(number, b"[%d]" % number)]))
        await store.update(change(record, parts=[StoredPart(12, b"[12, 13]")]))
        assert await store.sizes("anna", record.id) == Sizes(len(record.body), 20, 15 + 3 * 3 + 8)
        await store.update(change(ended(record)))
        parts = [b'["said before"]', b"[0]", b"[2]", b"[3]", b"[12, 13]"]
        assert await store.conversation("anna", record.id) == parts
        assert await store.conversation("bert", record.id) is None
        assert await store.sizes("bert", record.id) is None

    async def test_a_change_keeps_what_it_does_not_say(self, store: Store) -> None:
        record = a_record(body=b"first")
        await put(store, record)
        await store.update(Change(id=record.id, status="in_progress", events=some_events(0, 4)))
        await store.update(Change(id=record.id, status="completed"))
        assert await store.get("anna", record.id) == msgspec.structs.replace(record, status="completed", last_event=4)

    async def test_an_event_of_the_same_number_replaces_the_other(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        await store.update(change(record, some_events(0, 4)))
        other = StoredEvent(2, "another", b"{}")
        await store.update(change(record, [other, *some_events(3, 6)]))
        assert await store.events("anna", record.id, -1) == [*some_events(0, 1), other, *some_events(3, 6)]

    async def test_the_records_that_a_holder_runs_are_found(self, store: Store) -> None:
        one = msgspec.structs.replace(a_record("one"), holder="here")
        others = [msgspec.structs.replace(a_record(name), holder=whose) for name, whose in (("two", "there"), ("four", None))]
        for record in (one, *others, msgspec.structs.replace(a_record("three"), holder="here")):
            await put(store, record)
        await store.update(change(ended(a_record("three"))))
        assert await store.held("here") == [one]
        assert await store.held("nowhere") == []

    async def test_a_cancel_that_was_wanted_from_the_beginning_is_kept(self, store: Store) -> None:
        record = msgspec.structs.replace(a_record(), cancel_wanted=True)
        await put(store, record)
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
            await put(store, a_record(name))
            found = await store.get("anna", name)
            assert found is not None
            assert found.id == name

    async def test_a_record_does_not_exist_to_others_than_its_owner(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        await store.update(change(record, some_events(0, 3)))
        assert await store.get("bert", record.id) is None
        assert await store.events("bert", record.id, -1) == []
        assert not await store.want_cancel("bert", record.id)
        assert not await store.delete("bert", record.id)
        assert await store.input_items("bert", record.id) is None
        assert await store.get("anna", record.id) == msgspec.structs.replace(record, last_event=3)

    async def test_an_update_replaces_the_record(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        assert await store.update(change(ended(record)))
        assert await store.get("anna", record.id) == ended(record)

    async def test_an_end_stays_and_can_be_written_twice(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        assert await store.update(change(ended(record), some_events(0, 1)))
        assert await store.update(change(ended(record), some_events(0, 1)))
        for other in (
            record,
            msgspec.structs.replace(ended(record), status="failed"),
            msgspec.structs.replace(ended(record), body=b"2"),
        ):
            with pytest.raises(RecordEnded):
                await store.update(change(other))
            with pytest.raises(RecordEnded):
                await store.update(change(other, some_events(1, 5)))
        assert await store.get("anna", record.id) == ended(record, last_event=1)
        assert await store.events("anna", record.id, -1) == some_events(0, 1)

    async def test_an_end_by_another_writer_replaces_no_event_of_the_holder(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        for after, done in ((-1, False), (1, False), (2, True)):
            await store.update(change(record, some_events(0, 2)))
            end = msgspec.structs.replace(change(ended(record), some_events(after + 1, after + 1)), after=after)
            with contextlib.nullcontext() if done else pytest.raises(RecordEnded):
                assert await store.update(end)
        assert await store.events("anna", record.id, -1) == some_events(0, 3)
        assert await store.get("anna", record.id) == ended(record, last_event=3)

    async def test_an_update_of_a_deleted_record_keeps_nothing(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        assert await store.delete("anna", record.id)
        assert not await store.update(change(ended(record), some_events(0, 3)))
        assert await store.get("anna", record.id) is None
        assert await store.events("anna", record.id, -1) == []

    async def test_a_deleted_record_takes_its_events_along(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        await store.update(change(record, some_events(0, 3)))
        assert await store.delete("anna", record.id)
        assert not await store.delete("anna", record.id)
        await put(store, record)
        assert await store.events("anna", record.id, -1) == []

    async def test_events_come_in_order_and_after_a_number(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        await store.update(change(record, some_events(0, 8)))
        await store.update(change(record))
        await store.update(change(ended(record), some_events(9, 12)))
        assert await store.events("anna", record.id, -1) == some_events(0, 12)
        assert await store.events("anna", record.id, 8) == some_events(9, 12)
        assert await store.events("anna", record.id, 12) == []

    async def test_a_long_stream_is_read_in_bounded_parts(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        await store.update(change(record, some_events(0, 4999)))
        seen: list[StoredEvent] = []
        while part := await store.events("anna", record.id, len(seen) - 1):
            assert len(part) <= 1000
            seen += part
        assert seen == some_events(0, 4999)
        large = [
            StoredEvent(number, "response.created", b"x" * size) for number, size in ((5000, 1), (5001, 600_000), (5002, 2_000_000))
        ]
        await store.update(change(record, large))
        assert [len(await store.events("anna", record.id, after)) for after in (4999, 5000, 5001)] == [2, 1, 1]

    async def test_a_wanted_cancel_is_seen_and_outlives_updates(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        assert await store.want_cancel("anna", record.id)
        await store.update(change(record, some_events(0, 0)))
        found = await store.get("anna", record.id)
        assert found is not None
        assert found.cancel_wanted

    @pytest.mark.parametrize("status", RUNNING)
    async def test_what_runs_can_be_cancelled(self, store: Store, status: str) -> None:
        await put(store, a_record(status=status))
        assert await store.want_cancel("anna", "resp_1")

    async def test_what_has_ended_cannot_be_cancelled(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        await store.update(change(ended(record)))
        assert not await store.want_cancel("anna", record.id)
        assert await store.get("anna", record.id) == ended(record)

    async def test_every_change_wakes_who_waits_for_it(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        await claim(store, "key", "first")
        await claim(store, "another key", "first")
        changes: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            (record.id, lambda: store.update(change(record))),
            (record.id, lambda: store.want_cancel("anna", record.id)),
            (record.id, lambda: store.delete("anna", record.id)),
            ("key", lambda: store.bind("key", "first", TTL, None)),
            ("key", lambda: store.release("key", "first")),
            ("another key", lambda: store.answer("another key", "first", b"{}")),
        ]
        for name, write in changes:
            async with asyncio.timeout(LIMIT):
                await asyncio.gather(store.changed(name, 60), store.changed(name, 60), write())

    async def test_a_reader_that_waits_in_between_misses_no_change(self, store: Store) -> None:
        record = a_record()
        await put(store, record)

        async def write() -> None:
            for number in range(100):
                await store.update(change(record, some_events(number, number)))

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
        await put(store, a_record())
        loop = asyncio.get_running_loop()
        end, rounds = loop.time() + 1, 0
        while (left := end - loop.time()) > 0:
            rounds += 1
            async with asyncio.timeout(left + LIMIT):
                await store.changed("resp_1", left)
        assert rounds <= 5

    async def test_a_claim_is_ours_once(self, store: Store) -> None:
        assert await claim(store, "key", "first", "hash") is None
        assert await claim(store, "key", "second", "another hash") == Claim("hash")
        assert await claim(store, "another key", "second", "hash") is None

    async def test_who_claims_again_what_he_holds_already_finds_it_his(self, store: Store) -> None:
        await claim(store, "key", "first")
        assert await claim(store, "key", "first") is None
        await store.bind("key", "first", TTL, "resp_1")
        assert await claim(store, "key", "first") is None

    async def test_of_many_that_claim_at_once_one_gets_it(self, store: Store) -> None:
        found = await asyncio.gather(*(claim(store, "key", str(number), f"hash {number}") for number in range(20)))
        assert found.count(None) == 1
        assert len({claim for claim in found if claim}) == 1

    async def test_a_claim_has_its_answer_and_its_response(self, store: Store) -> None:
        await claim(store, "key", "first")
        await claim(store, "plain", "first")
        assert await store.bind("key", "first", TTL, "resp_1")
        assert await store.bind("plain", "first", TTL, None)
        assert await claim(store, "key", "second") == Claim("hash", None, "resp_1")
        await store.answer("key", "first", b"\0answer")
        assert await claim(store, "key", "second") == Claim("hash", b"\0answer", "resp_1")
        assert await claim(store, "plain", "second") == Claim("hash")

    async def test_what_nobody_claimed_cannot_be_bound_or_answered(self, store: Store) -> None:
        assert not await store.bind("key", "first", TTL, "resp_1")
        await store.answer("key", "first", b"{}")
        await store.release("key", "first")
        assert await claim(store, "key", "first") is None

    async def test_only_its_holder_binds_answers_and_releases_a_claim(self, store: Store) -> None:
        await claim(store, "key", "first")
        assert not await store.bind("key", "second", TTL, "resp_1")
        await store.answer("key", "second", b"{}")
        await store.release("key", "second")
        assert await claim(store, "key", "second") == Claim("hash")

    async def test_a_released_claim_can_be_claimed_again_and_an_answered_one_is_not_released(self, store: Store) -> None:
        await claim(store, "key", "first")
        await store.release("key", "first")
        assert await claim(store, "key", "second", "new hash") is None
        await store.answer("key", "second", b"{}")
        await store.release("key", "second")
        assert await claim(store, "key", "third") == Claim("new hash", b"{}")

    async def test_a_claim_ends_by_itself_unless_it_is_bound(self, store: Store) -> None:
        await claim(store, "lasting", "first", lease=0.2)
        await store.bind("lasting", "first", TTL, None)
        await claim(store, "key", "first", lease=0.2)

        async def gone() -> bool:
            return await claim(store, "key", "second", "new hash") is None

        await until(gone)
        assert not await store.bind("key", "first", TTL, None)
        assert await claim(store, "lasting", "second") == Claim("hash")

    async def test_a_bound_claim_ends_too_and_an_answer_does_not_prolong_it(self, store: Store) -> None:
        await claim(store, "key", "first")
        await store.bind("key", "first", 0.2, None)
        await store.answer("key", "first", b"{}")

        async def gone() -> bool:
            return await claim(store, "key", "second", "new hash") is None

        await until(gone)

    async def test_a_running_record_is_an_orphan_without_the_lease_of_its_holder(self, store: Store) -> None:
        await store.renew("elsewhere", TTL)
        here, nobodys = a_record("here"), msgspec.structs.replace(a_record("nobody's"), holder=None)
        await put(store, here)
        await put(store, nobodys)
        await put(store, ended(a_record("ended")))
        assert sorted(await store.orphans(), key=lambda record: record.id) == [here, nobodys]
        await store.renew("here", TTL)
        assert await store.orphans() == [nobodys]
        assert await store.alive("here")

    async def test_a_lease_ends_unless_it_is_renewed(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        await store.renew("here", 0.1)
        await until(store.orphans)
        await store.renew("here", TTL)
        assert await store.orphans() == []

    async def test_a_shorter_lease_ends_the_longer_one(self, store: Store) -> None:
        await store.renew("here", TTL)
        await put(store, a_record())
        await store.renew("here", 0.1)
        await until(store.orphans)

    async def test_an_orphan_that_was_failed_is_none_any_more(self, store: Store) -> None:
        record = a_record()
        await put(store, record)
        [orphan] = await store.orphans()
        await store.update(change(msgspec.structs.replace(orphan, status="failed")))
        assert await store.orphans() == []

    async def test_a_sweep_forgets_what_is_too_old_and_has_ended(self, store: Store) -> None:
        old, young = ended(a_record("old", age=100)), ended(a_record("young"))
        running = a_record("running", age=100)
        for record in (old, young, running):
            await put(store, msgspec.structs.replace(record, status="queued"))
            await store.update(change(record, some_events(0, 3)))
        await store.sweep(int(time.time() + TTL - 50))
        assert await store.get("anna", "old") is None
        assert await store.events("anna", "old", -1) == []
        assert await store.get("anna", "young") == msgspec.structs.replace(young, last_event=3)
        assert await store.get("anna", "running") == msgspec.structs.replace(running, last_event=3)
        assert await store.events("anna", "running", -1) == some_events(0, 3)

    async def test_a_sweep_takes_more_than_a_handful(self, store: Store) -> None:
        for number in range(500):
            await put(store, ended(a_record(str(number))))
        await store.sweep(int(time.time() + TTL + 10))
        assert [number for number in range(500) if await store.get("anna", str(number))] == []

    async def test_leases_and_claims_outlive_a_sweep(self, store: Store) -> None:
        await put(store, a_record())
        await store.renew("here", TTL)
        await claim(store, "key", "first")
        await store.sweep(int(time.time()))
        assert await store.orphans() == []
        assert await claim(store, "key", "second") == Claim("hash")

    async def test_of_too_much_the_oldest_goes_first(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            for number in range(200):
                await put(store, a_record(str(number), age=300 - number, body=b"x" * 20_000))
                await store.update(
                    change(msgspec.structs.replace(a_record(str(number), age=300 - number, body=b"x" * 20_000), status="failed"))
                )
            await store.sweep(int(time.time()))
            kept = [number for number in range(200) if await store.get("anna", str(number))]
            assert kept == list(range(200 - len(kept), 200))
            assert NARROW // 2 < len(kept) * 20_000 <= NARROW

    @pytest.mark.parametrize("size", [100_000, 2 * NARROW])
    async def test_what_has_just_ended_goes_last_however_old_it_is(self, open_store: Opener, size: int) -> None:
        """Its readers have yet to hear of its end. What alone is too large is there until something else comes."""
        record = a_record("long", age=300)
        end = msgspec.structs.replace(record, status="completed", body=b"x" * size)
        async with open_store(TTL, NARROW) as store:
            await put(store, record)
            for number in range(12):
                await put(store, ended(a_record(str(number), age=200 - number)), b"x" * 100_000)
            assert await store.update(change(end, some_events(0, 3)))
            assert await store.get("anna", "long") == msgspec.structs.replace(end, last_event=3)
            await put(store, ended(a_record("next")), b"x" * 100_000)
            assert (await store.get("anna", "long") is None) == (size > NARROW)
            assert await store.get("anna", "next") is not None

    async def test_what_one_owner_has_too_much_of_costs_nobody_else(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            for number in range(10):
                await put(store, msgspec.structs.replace(a_record(f"bert {number}", age=300), owner="bert"))
                await store.update(change(ended(a_record(f"bert {number}"))))
            for number in range(100):
                await put(store, ended(a_record(str(number), body=b"x" * 20_000)))
                await claim(store, f"key {number}", "one")
                await store.answer(f"key {number}", "one", b"x" * 20_000)
            await store.sweep(int(time.time()))
            assert all([await store.get("bert", f"bert {number}") for number in range(10)])
            assert await store.get("anna", "0") is None

    @pytest.mark.parametrize("kind", ["body", "input_items", "conversation", "part", "event", "answer"])
    async def test_everything_that_is_stored_counts(self, open_store: Opener, kind: str) -> None:
        content, plain = b"x" * 50_000, a_record()
        async with open_store(TTL, NARROW) as store:
            for number in range(60):
                record = msgspec.structs.replace(plain, id=str(number), body=content if kind == "body" else b"{}")
                given = (content if kind == "input_items" else b"[]", content if kind == "conversation" else b"[]")
                await store.create(record, *given)
                parts = [StoredPart(0, content)] if kind == "part" else []
                events = [StoredEvent(0, "delta", content)] if kind == "event" else []
                await store.update(Change(id=record.id, status="completed", parts=parts, events=events))
                if kind == "answer":
                    await claim(store, str(number), "one")
                    await store.answer(str(number), "one", content)
            await store.sweep(int(time.time()))
            if kind == "answer":
                found = [await claim(store, str(number), holder="another") for number in range(60)]
                kept = [number for number, one in enumerate(found) if one is not None and one.answer == content]
                assert {one.answer for one in found if one is not None} == {b"", content}  # nobody forgets that there was one
            else:
                kept = [number for number in range(60) if await store.get("anna", str(number))]
            assert kept == list(range(60 - len(kept), 60))
            assert NARROW // 2 < len(kept) * len(content) <= NARROW

    async def test_what_runs_is_kept_however_much_there_is(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            await put(store, a_record("running", age=300))
            for number in range(100):
                await put(store, a_record(str(number), body=b"x"))
                await store.update(change(msgspec.structs.replace(a_record(str(number), body=b"x" * 20_000), status="completed")))
            await store.sweep(int(time.time()))
            assert await store.get("anna", "running") is not None
            assert await store.get("anna", "99") is not None
            assert await store.get("anna", "0") is None

    async def test_a_list_has_ones_own_latest_first_page_by_page(self, store: Store) -> None:
        for number in range(25):
            await put(store, a_record(str(number), body=b'{"n":%d}' % number))
            await put(store, msgspec.structs.replace(a_record(f"other {number}"), owner="boris"))
        await store.delete("anna", "7")
        found: list[str] = []
        after = ""
        for most, fitting in itertools.cycle(((NARROW, 10), (60, 2), (0, 1))):
            page, after = await store.latest("anna", 10, most, after)
            assert len(page) <= fitting
            assert all(one.input_items == b'[{"type":"message"}]' for one in page)
            for one in page:
                assert one.record == await store.get("anna", one.record.id)
            found += [one.record.id for one in page]
            await store.delete("anna", found[0])  # what has been read may go meanwhile
            if not after:
                break
        assert found == [str(number) for number in reversed(range(25)) if number != 7]
        assert await store.latest("carl", 10, NARROW) == ([], "")

    async def test_a_conversation_takes_items_and_loses_them(self, store: Store) -> None:
        await store.create(a_conversation(), b"[]", b"[]")
        assert await store.amend("anna", amendment(after=-1, added=[0, 1, 2]))
        last = amendment(after=2, added=[3], removed=[1])
        assert await store.amend("anna", last)
        found = await store.events("anna", "conv_1", -1)
        assert found == [an_item(0), an_item(2), an_item(3)]
        assert await store.events("anna", "conv_1", 2) == [an_item(3)]
        record = await store.get("anna", "conv_1")
        assert record == msgspec.structs.replace(a_conversation(), created_at=last.at, last_event=3)
        assert await store.amend("anna", msgspec.structs.replace(amendment(after=3), body=b'{"metadata":{"a":"b"}}'))
        assert await store.events("anna", "conv_1", -1) == found
        changed = await store.get("anna", "conv_1")
        assert changed is not None
        assert (changed.body, changed.last_event) == (b'{"metadata":{"a":"b"}}', 3)
        assert await store.delete("anna", "conv_1")
        assert await store.events("anna", "conv_1", -1) == []

    async def test_one_item_of_a_conversation_is_found_and_all_are_read_by_pages_and_counted(self, store: Store) -> None:
        await store.create(a_conversation(), b"[]", b"[]")
        assert await store.extent("anna", "conv_1") == Extent(0, 6)
        assert await store.page("anna", "conv_1", 10, "desc", None, NARROW) == Page([], more=False)
        await store.amend("anna", amendment(after=-1, added=range(5)))
        oddly = StoredEvent(5, "response.\0'; --", b"{}")
        added = msgspec.structs.replace(amendment(after=4), added=[oddly], removed=[an_item(1), an_item(77)], body=b'{"a":1}')
        assert await store.amend("anna", added)
        items = [an_item(0), an_item(2), an_item(3), an_item(4), oddly]
        assert await store.extent("anna", "conv_1") == Extent(5, 11 + sum(len(item.content) for item in items))
        assert await store.find("anna", "conv_1", ["msg_3", "msg_1", "msg_9"]) == [an_item(3)]
        assert await store.find("anna", "conv_1", [oddly.type]) == [oddly]
        both = await store.find("anna", "conv_1", [oddly.type, "msg_2", "msg_3"])
        assert sorted(one.number for one in both) == sorted(one.number for one in (an_item(2), an_item(3), oddly))
        assert await store.find("anna", "conv_1", []) == []
        orders: tuple[tuple[Order, list[StoredEvent]], ...] = (("asc", items), ("desc", items[::-1]))
        for order, whole in orders:
            for most, longest in ((NARROW, 2), (0, 1)):
                found: list[StoredEvent] = []
                more = True
                while more:
                    page = await store.page("anna", "conv_1", 2, order, found[-1].number if found else None, most)
                    found, more = found + page.items, page.more
                    assert len(page.items) <= longest
                assert found == whole

    async def test_items_are_those_of_ones_own_conversations_alone(self, store: Store) -> None:
        await store.create(a_conversation(), b"[]", b"[]")
        await store.amend("anna", amendment(after=-1, added=[0]))
        await put(store, a_record())
        await store.update(change(ended(a_record()), some_events(0, 3)))
        for owner, name in (("bert", "conv_1"), ("anna", "resp_1"), ("anna", "conv_2")):
            assert await store.find(owner, name, ["msg_0", "response.output_text.delta"]) == []
            assert await store.page(owner, name, 10, "asc", None, NARROW) == Page([], more=False)
            assert await store.extent(owner, name) is None
        assert await store.sizes("anna", "conv_1") is None
        assert await store.delete("anna", "conv_1")
        await store.create(a_conversation(), b"[]", b"[]")
        assert await store.find("anna", "conv_1", ["msg_0"]) == []
        assert await store.extent("anna", "conv_1") == Extent(0, 6)

    async def test_conversations_of_the_largest_owner_go_first(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            for number in range(40):
                owner, size = ("bert", 1000) if number < 10 else ("anna", 60_000)
                name = f"conv_{number}"
                await store.create(msgspec.structs.replace(a_conversation(), id=name, owner=owner), b"[]", b"[]")
                taken = [StoredEvent(0, "msg", b"x" * size)]
                assert await store.amend(owner, msgspec.structs.replace(amendment(after=-1), id=name, added=taken))
            await store.sweep(int(time.time()))
            assert all([await store.get("bert", f"conv_{number}") for number in range(10)])
            kept = [number for number in range(10, 40) if await store.get("anna", f"conv_{number}")]
            assert kept == list(range(40 - len(kept), 40))
            assert NARROW // 2 < len(kept) * 60_000 <= NARROW

    async def test_of_two_that_amend_a_conversation_as_they_read_it_one_does(self, store: Store) -> None:
        await store.create(a_conversation(), b"[]", b"[]")
        done = await asyncio.gather(*(store.amend("anna", amendment(after=-1, added=[0])) for _ in range(5)))
        assert sorted(done) == [False] * 4 + [True]
        assert await store.events("anna", "conv_1", -1) == [an_item(0)]

    async def test_only_its_owner_amends_a_conversation_and_nobody_a_response(self, store: Store) -> None:
        await store.create(a_conversation(), b"[]", b"[]")
        await put(store, a_record())
        await store.update(change(ended(a_record())))
        assert not await store.amend("bert", amendment(after=-1, added=[0]))
        assert not await store.amend("anna", msgspec.structs.replace(amendment(after=-1, added=[0]), id="resp_1"))
        assert not await store.amend("anna", msgspec.structs.replace(amendment(after=-1, added=[0]), id="conv_2"))
        assert await store.events("anna", "conv_1", -1) == await store.events("anna", "resp_1", -1) == []

    async def test_a_conversation_is_in_no_list_of_responses(self, store: Store) -> None:
        await put(store, a_record())
        await store.create(a_conversation(), b"[]", b"[]")
        page, _ = await store.latest("anna", 10, NARROW)
        assert [one.record.id for one in page] == ["resp_1"]

    async def test_a_conversation_is_as_old_as_its_last_change(self, store: Store) -> None:
        for name in ("conv_1", "conv_2"):
            await store.create(msgspec.structs.replace(a_conversation(age=100), id=name), b"[]", b"[]")
        assert await store.amend("anna", amendment(after=-1, added=[0]))
        await store.sweep(int(time.time() + TTL - 50))
        assert await store.get("anna", "conv_1") is not None
        assert await store.get("anna", "conv_2") is None

    async def test_what_is_in_conversations_counts_for_the_bound_until_it_is_removed(self, open_store: Opener) -> None:
        large = b"x" * 50_000
        async with open_store(TTL, NARROW) as store:
            for number in range(30):
                name = f"conv_{number}"
                await store.create(msgspec.structs.replace(a_conversation(), id=name), b"[]", b"[]")
                item = StoredEvent(0, "msg", large)
                taken = msgspec.structs.replace(amendment(after=-1), id=name, added=[item])
                assert await store.amend("anna", taken)
                if number < 20:
                    assert await store.amend("anna", msgspec.structs.replace(amendment(after=0), id=name, removed=[item]))
            await store.sweep(int(time.time()))
            assert all([await store.get("anna", f"conv_{number}") for number in range(30)])
            for number in range(30, 60):
                name = f"conv_{number}"
                await store.create(msgspec.structs.replace(a_conversation(), id=name), b"[]", b"[]")
                added = [StoredEvent(0, "msg", large)]
                await store.amend("anna", msgspec.structs.replace(amendment(after=-1), id=name, added=added))
            await store.sweep(int(time.time()))
            kept = [number for number in range(60) if await store.events("anna", f"conv_{number}", -1)]
            assert kept == list(range(60 - len(kept), 60))
            assert NARROW // 2 < len(kept) * len(large) <= NARROW

    async def test_events_count_for_the_bound(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            for name in ("first", "second", "third"):
                record = a_record(name)
                await put(store, record)
                await store.update(change(ended(record), [StoredEvent(number, "delta", b"x" * 10_000) for number in range(60)]))
            await store.sweep(int(time.time()))
            assert await store.get("anna", "first") is None
            assert len(await store.events("anna", "third", -1)) == 60

    @pytest.mark.slow
    async def test_ten_thousand_records_stay_within_the_bound(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            for number in range(10_000):
                await put(store, ended(a_record(str(number))), conversation=b"x" * 1000)
            await store.sweep(int(time.time()))
            kept = [number for number in range(10_000) if await store.get("anna", str(number))]
            assert kept == list(range(10_000 - len(kept), 10_000))
            assert NARROW // 4 < len(kept) * 1000 <= NARROW

    async def test_a_trace_is_found_under_the_first_name_that_has_one(self, store: Store) -> None:
        await store.keep_trace("anna", "old", "1", b"one", TTL, "")
        await store.keep_trace("anna", "new", "2", b"two", TTL, "")
        assert await store.trace("anna", ["none", "new", "old"]) == StoredTrace("new", b"two")
        assert await store.trace("ben", ["new", "old"]) == StoredTrace()
        await store.keep_trace("anna", "newest", "3", b"three", TTL, "old")
        assert await store.trace("anna", ["old"]) == StoredTrace()

    async def test_a_name_of_two_traces_is_ambiguous(self, store: Store) -> None:
        for identity in ("1", "1", "2", "1"):
            await store.keep_trace("anna", "same", identity, b"x", TTL, "")
            ambiguous = (await store.trace("anna", ["same"])).ambiguous
            assert ambiguous == ({"same"} if identity == "2" or ambiguous else frozenset())
        await store.keep_trace("anna", "other", "3", b"y", TTL, "same")
        for identity in ("", "4"):
            await store.keep_trace("anna", "none", identity, b"", TTL, "")
        assert await store.trace("anna", ["none", "same", "other"]) == StoredTrace("other", b"y", frozenset(["none", "same"]))

    async def test_a_trace_ends_with_its_time(self, store: Store) -> None:
        await store.keep_trace("anna", "short", "1", b"x", 0.05, "")

        async def over() -> bool:
            return await store.trace("anna", ["short"]) == StoredTrace()

        await until(over)

    async def test_traces_make_room_before_records_and_those_of_the_largest_owner_first(self, open_store: Opener) -> None:
        async with open_store(TTL, NARROW) as store:
            await put(store, ended(a_record()))
            await store.keep_trace("ben", "ben's", "0", b"x" * 1000, TTL, "")
            for number in range(30):
                await store.keep_trace("anna", str(number), str(number), b"x" * 100_000, TTL, "")
            await store.sweep(int(time.time()))
            assert (await store.trace("anna", ["0"])).name == ""
            assert (await store.trace("anna", ["29"])).name == "29"
            assert (await store.trace("ben", ["ben's"])).name == "ben's"
            assert await store.get("anna", "resp_1") is not None

    async def test_many_callers_at_once_do_not_get_in_each_others_way(self, store: Store) -> None:
        async def live(name: str) -> None:
            record = a_record(name)
            await put(store, record)
            for number in range(5):
                await store.update(change(record, some_events(number, number)))
            assert await store.events("anna", name, -1) == some_events(0, 4)
            assert await store.delete("anna", name)

        async with asyncio.timeout(60):
            await asyncio.gather(*(live(str(number)) for number in range(100)))

    async def test_a_cancelled_call_is_done_or_not_and_harms_no_other(self, store: Store) -> None:
        for steps in range(60):
            record = a_record(str(steps))
            await put(store, record)
            call = tasks.spawn("update", store.update(change(ended(record), some_events(0, 3))))
            for _ in range(steps):
                await asyncio.sleep(0)
            await tasks.see_out(call)
            done = await store.get("anna", record.id) == ended(record, last_event=3)
            assert await store.events("anna", record.id, -1) == (some_events(0, 3) if done else [])
            if not done:
                assert await store.update(change(record, some_events(4, 4)))
