"""The Redis store on a real server: the contract, several instances at once, a server that goes away or is full."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NotConnected

from codex_proxy import tasks
from codex_proxy.errors import StorageFull, StoreUnavailable
from codex_proxy.store.base import Claim, Record, StoredEvent
from codex_proxy.store.redis import RedisStore
from tests.store.contract import Contract, Opener, a_conversation, amendment, an_item, change, claim, put
from tests.support.redis_server import RedisServer, redis_server

_LIMIT = 5.0  # seconds
_TTL = 3600.0
_ROOM = 1_000_000  # bytes
_NOW = 1_700_000_000


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as started:
        yield started
    assert tasks.running() == []


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    async with RedisStore.opened(server.url, _TTL, _ROOM) as opened:
        yield opened


@pytest.fixture
async def other(server: RedisServer) -> AsyncIterator[RedisStore]:
    """Another instance on the same server."""
    async with RedisStore.opened(server.url, _TTL, _ROOM) as opened:
        yield opened


class TestRedis(Contract):
    @pytest.fixture
    def open_store(self, server: RedisServer) -> Opener:
        return lambda ttl, max_bytes: RedisStore.opened(server.url, ttl, max_bytes)


def _running(record_id: str = "resp_1", created_at: int = _NOW, body: bytes = b"{}") -> Record:
    return Record(id=record_id, owner="ann", created_at=created_at, status="in_progress", body=body, holder="here")


def _ended(record_id: str = "resp_1", created_at: int = _NOW, body: bytes = b"{}") -> Record:
    return msgspec.structs.replace(_running(record_id, created_at, body), status="completed")


def _event(number: int, content: bytes = b"{}") -> StoredEvent:
    return StoredEvent(number, "response.output_text.delta", content)


async def test_a_deleted_record_is_not_made_again_by_an_update(server: RedisServer, store: RedisStore) -> None:
    await put(store, _running())
    await store.update(change(_running(), [_event(0)]))
    assert await store.delete("ann", "resp_1")
    assert not await store.update(change(_ended(), [_event(1)]))
    assert not await store.delete("ann", "resp_1")
    assert await _keys(server) == {b"codex-proxy:totals"}


async def test_a_cancel_is_wanted_until_the_end_whatever_the_holder_writes(store: RedisStore, other: RedisStore) -> None:
    await put(store, _running())
    assert await other.want_cancel("ann", "resp_1")
    await store.update(change(_running(body=b"1")))
    assert await store.get("ann", "resp_1") == msgspec.structs.replace(_running(body=b"1"), cancel_wanted=True)
    await store.update(change(_ended()))
    assert not await other.want_cancel("ann", "resp_1")


async def test_a_key_is_claimed_once_and_has_an_answer_later(store: RedisStore, other: RedisStore) -> None:
    assert await claim(store, "key", "first") is None
    assert await claim(other, "key", "second", "another hash") == Claim("hash")
    await store.answer("key", "first", b"resp_1")
    assert await claim(other, "key", "second") == Claim("hash", b"resp_1")


async def test_of_many_claims_at_once_one_succeeds(store: RedisStore, other: RedisStore) -> None:
    instances = enumerate((store, other) * 20)
    claims = await asyncio.gather(*(claim(instance, "key", str(number)) for number, instance in instances))
    assert claims.count(None) == 1


async def test_a_key_out_of_time_can_be_claimed_again_and_is_not_answered(server: RedisServer, store: RedisStore) -> None:
    await claim(store, "old", "first", lease=0.05)
    await _gone(server, "codex-proxy:claim:old")
    await store.answer("old", "first", b"too late")
    assert await claim(store, "old", "second") is None


async def test_a_key_of_any_bytes_can_be_claimed(store: RedisStore) -> None:
    key = b"\xff\x00 ".decode(errors="surrogateescape")
    assert await claim(store, key, "first") is None
    await store.answer(key, "first", b"resp_1")
    assert await claim(store, key, "second") == Claim("hash", b"resp_1")
    await _heard(store)


async def test_the_running_records_of_a_dead_holder_are_orphans(server: RedisServer, store: RedisStore, other: RedisStore) -> None:
    await store.renew("here", 0.05)
    await store.renew("there", 60)
    await put(store, _running("resp_1"))
    await put(store, msgspec.structs.replace(_running("resp_2"), holder="there"))
    await put(store, msgspec.structs.replace(_running("resp_3"), holder=None, status="queued"))
    await put(store, _ended("resp_4"))
    await _gone(server, "codex-proxy:lease:here")
    assert sorted(record.id for record in await other.orphans()) == ["resp_1", "resp_3"]
    await other.update(change(_ended("resp_1")))
    await store.renew("here", 60)
    assert [record.id for record in await store.orphans()] == ["resp_3"]


async def test_records_that_somebody_damaged_hide_no_other(
    server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    damages = (("status", b"\xff"), ("created_at", b"soon"), ("created_at", None), ("owner", None))
    for number in range(len(damages) + 1):
        await put(store, _running(f"resp_{number}"))
    async with Redis.from_url(server.url) as redis:
        for number, (field, value) in enumerate(damages):
            name = f"codex-proxy:record:resp_{number}"
            await (redis.hdel(name, field) if value is None else redis.hset(name, field, value))
    for _ in range(2):
        assert [record.id for record in await store.orphans()] == [f"resp_{len(damages)}"]
        assert [record.id for record in await store.held("here")] == [f"resp_{len(damages)}"]
    assert caplog.text.count("is damaged") == len(damages)


async def test_a_full_server_does_not_make_the_living_look_dead_nor_refuse_a_first_lease(
    server: RedisServer, store: RedisStore
) -> None:
    await put(store, _running())
    async with Redis.from_url(server.url) as redis:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", 1)
    await store.renew("here", 60)
    assert await store.orphans() == []


async def test_nobody_looks_for_the_dead_within_a_lease_after_an_outage(server: RedisServer, other: RedisStore) -> None:
    """An outage in which all leases ran out is played by taking them away."""
    async with RedisStore.opened(server.url, _TTL, _ROOM) as store:
        await store.renew("here", 1)
        await put(store, _running())
    async with Redis.from_url(server.url) as redis:
        await redis.delete("codex-proxy:lease:here", "codex-proxy:pulse")
    began = time.monotonic()
    await other.renew("there", 1)
    async with asyncio.timeout(_LIMIT):
        while not await other.orphans():
            await other.renew("there", 1)
            await asyncio.sleep(0.02)
    assert time.monotonic() - began >= 0.9


async def test_a_record_that_was_made_after_a_flush_has_a_living_holder(
    server: RedisServer, store: RedisStore, other: RedisStore
) -> None:
    await store.renew("here", 60)
    await other.renew("there", 60)
    async with Redis.from_url(server.url) as redis:
        await redis.flushall()
    await other.renew("there", 60)
    await put(store, _running())
    assert await other.orphans() == []


async def test_an_old_record_is_forgotten_but_not_while_it_runs(server: RedisServer, store: RedisStore) -> None:
    await put(store, _ended("resp_1", _NOW - 3601))
    await put(store, _running("resp_2", _NOW - 3601))
    await put(store, _ended("resp_3", _NOW - 3600))
    await store.sweep(_NOW)
    assert [await _there(store, number) for number in (1, 2, 3)] == [False, True, True]


async def test_a_sweep_has_no_limit(store: RedisStore) -> None:
    for number in range(1005):
        await put(store, _ended(f"resp_{number}", _NOW - 3601))
    await store.sweep(_NOW)
    assert not any([await _there(store, number) for number in range(1005)])


async def test_the_oldest_ended_record_makes_room(server: RedisServer) -> None:
    async with RedisStore.opened(server.url, _TTL, 1000) as store:
        await put(store, _running("resp_1", body=b"x" * 365))
        await put(store, _ended("resp_9", body=b"x" * 265))
        await put(store, _ended("resp_3", body=b"x" * 265))
        assert [await _there(store, number) for number in (1, 9, 3)] == [True, True, True]
        await put(store, _ended("resp_4", body=b""))
        assert [await _there(store, number) for number in (1, 9, 3, 4)] == [True, False, True, True]
        await store.update(change(_running("resp_1", body=b"x" * 365), [_event(0, b"y" * 300)]))
        assert [await _there(store, number) for number in (1, 9, 3, 4)] == [True, False, False, True]


async def test_nothing_counts_after_all_is_forgotten(server: RedisServer, store: RedisStore) -> None:
    await put(store, _running(body=b"x" * 500))
    await store.update(change(_running(body=b"x" * 700), [_event(0, b"y" * 100)]))
    await store.update(change(_ended(body=b"x" * 100), [_event(1, b"y" * 100)]))
    assert await _total(server) == 100 + 35 + 200
    await store.delete("ann", "resp_1")
    assert await _total(server) == 0


async def test_everything_expires_by_itself(server: RedisServer, store: RedisStore) -> None:
    await put(store, _running())
    await store.update(change(_running(), [_event(0)]))
    await claim(store, "key", "first")
    await store.renew("here", 60)
    async with Redis.from_url(server.url) as redis:
        keys = await redis.keys("*")
        assert len(keys) == 13
        assert [key for key in keys if await redis.pttl(key) < 0] == []


async def test_a_change_by_another_instance_wakes_at_once(store: RedisStore, other: RedisStore) -> None:
    await put(store, _running())
    await _heard(store)
    changes = [
        other.update(change(_running(), [_event(0)])),
        other.want_cancel("ann", "resp_1"),
        other.delete("ann", "resp_1"),
    ]
    for write in changes:
        waiting = asyncio.gather(*(store.changed("resp_1", 60) for _ in range(3)))
        started = time.monotonic()
        await write
        await waiting
        assert time.monotonic() - started < 0.3


async def test_an_answer_wakes_who_waits_for_the_key(store: RedisStore, other: RedisStore) -> None:
    await claim(store, "key", "first")
    await _heard(other)
    waiting = asyncio.gather(other.changed("key", 60))
    await store.answer("key", "first", b"resp_1")
    async with asyncio.timeout(_LIMIT):
        await waiting


async def test_a_change_between_reading_and_waiting_delays_by_half_a_second_at_most(store: RedisStore, other: RedisStore) -> None:
    await put(store, _running())
    await _heard(store)
    await store.events("ann", "resp_1", -1)
    await other.update(change(_running(), [_event(0)]))
    await _heard(store)  # the news of the change has come before the wait begins
    async with asyncio.timeout(0.6):
        await store.changed("resp_1", 60)


async def test_a_reader_misses_no_event_of_a_writer_elsewhere(store: RedisStore, other: RedisStore) -> None:
    count = 200

    async def write() -> None:
        for number in range(count):
            await other.update(change(_running(), [_event(number)]))

    async def read() -> list[StoredEvent]:
        seen: list[StoredEvent] = []
        while len(seen) < count:
            seen += await store.events("ann", "resp_1", len(seen) - 1)
            await store.changed("resp_1", 60)
        return seen

    await put(store, _running())
    async with asyncio.timeout(30):
        seen, _ = await asyncio.gather(read(), write())
    assert seen == [_event(number) for number in range(count)]


async def test_a_server_that_goes_and_comes_back_is_used_again(server: RedisServer, store: RedisStore) -> None:
    await asyncio.gather(*(put(store, _running(f"resp_{number}")) for number in range(10)))  # many connections
    await server.kill()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.get("ann", "resp_1")
    async with asyncio.timeout(0.6):  # nobody is told of changes now, so no wait is long
        await store.changed("resp_1", 60)
    await server.start()
    await asyncio.gather(*(put(store, _running(f"resp_{number}")) for number in range(10)))
    assert await store.get("ann", "resp_1") == _running()
    await _heard(store)


async def test_a_server_that_restarts_unnoticed_is_used_again_at_once(server: RedisServer, store: RedisStore) -> None:
    await put(store, _running())
    await server.kill()
    await server.start()
    await put(store, _running())
    assert await store.get("ann", "resp_1") == _running()


async def test_no_server_at_the_start_is_told_at_once(server: RedisServer) -> None:
    await server.kill()
    with pytest.raises(StoreUnavailable, match="not available") as raised:
        async with RedisStore.opened(server.url, _TTL, _ROOM):
            pass
    assert str(server.port) in raised.value.detail


@pytest.mark.parametrize("nonsense", [b"", b":a\r\n", b"*a\r\n"])
async def test_a_server_that_says_nothing_or_nonsense_is_told_and_not_waited_for_for_ever(nonsense: bytes) -> None:
    over = asyncio.Event()

    async def say_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(nonsense)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(say_it, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(StoreUnavailable):
            async with RedisStore.opened(f"redis://127.0.0.1:{port}?socket_timeout=0.1", _TTL, _ROOM):
                pass
        await over.wait()


@pytest.mark.parametrize(
    "url",
    ["redis://:se%2Fcret@127.0.0.1:{port}", "redis://:se/cret@127.0.0.1:{port}", "http://:se/cret@127.0.0.1:{port}"],
)
async def test_the_password_is_never_told(server: RedisServer, url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StoreUnavailable) as raised:
        async with RedisStore.opened(url.format(port=server.port), _TTL, _ROOM):
            pass
    assert raised.value.detail
    for text in (raised.value.message, raised.value.detail, caplog.text):
        assert "cret" not in text


async def test_a_password_opens_the_store() -> None:
    async with redis_server("--requirepass", "s/cret") as server:
        url = server.url.replace("//", "//:s%2Fcret@")
        async with RedisStore.opened(url, _TTL, _ROOM) as store:
            await put(store, _running())


async def test_a_full_server_refuses_what_is_new_and_keeps_the_rest(server: RedisServer, store: RedisStore) -> None:
    await store.renew("here", 60)
    await put(store, _running())
    await store.update(change(_running(), [_event(0)]))
    async with Redis.from_url(server.url) as redis:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", 1)
    before = await _keys(server)
    with pytest.raises(StorageFull) as raised:
        await put(store, _running("resp_2"))
    assert "used memory" in raised.value.detail
    with pytest.raises(StorageFull):
        await store.update(change(_running(), [_event(1)]))
    with pytest.raises(StorageFull):
        await claim(store, "key", "first")
    assert await _keys(server) == before
    assert await store.get("ann", "resp_1") == msgspec.structs.replace(_running(), last_event=0)
    assert await store.events("ann", "resp_1", -1) == [_event(0)]
    await store.renew("here", 60)
    assert await store.orphans() == []
    await store.update(change(_ended(), [_event(1)]))  # an end is written all the same
    assert await store.events("ann", "resp_1", 0) == [_event(1)]
    await store.sweep(_NOW)
    assert await store.delete("ann", "resp_1")
    assert await _total(server) == 0


async def test_on_a_full_server_the_old_makes_room_for_the_new(server: RedisServer) -> None:
    """Whose memory is less than PROXY_STORE_MAX_MB, and who forgets nothing by himself."""
    async with RedisStore.opened(server.url, _TTL, 64_000_000) as store, Redis.from_url(server.url) as redis:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", (await redis.info("memory"))["used_memory"] + 2_000_000)
        for number in range(100):
            await put(store, _running(f"resp_{number}", body=b"x" * 50_000))
            await store.update(change(_ended(f"resp_{number}", body=b"x" * 50_000)))
        kept = [number for number in range(100) if await _there(store, number)]
        assert kept == list(range(100 - len(kept), 100))
        assert len(kept) >= 15


async def test_the_records_of_an_earlier_version_get_into_the_books(server: RedisServer) -> None:
    async with RedisStore.opened(server.url, _TTL, 1000) as store, Redis.from_url(server.url) as redis:
        for number in range(2):
            old: Any = {"owner": "ann", "created_at": _NOW, "status": "completed", "body": "{}", "holder": "", "cancel_wanted": 0}
            await redis.hset(f"codex-proxy:record:resp_{number}", mapping=old | {"input_items": "[]", "conversation": "[]"})
            await redis.zadd("codex-proxy:ages", {f"resp_{number}": _NOW + number / 10})
            await redis.hset("codex-proxy:sizes", f"resp_{number}", 450)
        await redis.hset("codex-proxy:totals", "bytes", 900)
        assert await store.get("ann", "resp_0") == msgspec.structs.replace(_ended("resp_0"), holder=None)
        await store.sweep(_NOW)
        await put(store, _running("resp_2", body=b"x" * 265))
        assert [await _there(store, number) for number in (0, 1, 2)] == [False, True, True]


async def test_a_cancelled_call_ends_as_cancelled_and_spoils_no_connection(store: RedisStore) -> None:
    record = _running(body=b"x" * 100_000)
    await put(store, record)
    for steps in range(30):
        call = tasks.spawn("a call", store.get("ann", "resp_1"))
        for _ in range(steps):
            await asyncio.sleep(0)
        in_time = not call.done()
        await tasks.see_out(call)
        assert call.cancelled() == in_time
        assert await store.orphans() == [record]


class _LosesCancels:
    """A client whose call fails when it is cancelled, as redis-py's may while a connection breaks."""

    def register_script(self, _: str) -> Any:
        async def call(args: object) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise NotConnected("the connection broke in the same moment") from None

        return call


async def test_a_call_that_fails_when_it_is_cancelled_ends_as_cancelled() -> None:
    """Else who suppresses the failure goes on, and who cancelled it waits for ever."""
    client: Any = _LosesCancels()
    call = tasks.spawn("a call", RedisStore(client, None, _TTL, _ROOM).get("ann", "resp_1"))
    await asyncio.sleep(0)
    async with asyncio.timeout(_LIMIT):
        await tasks.see_out(call)
    assert call.cancelled()


async def test_a_store_is_closed_at_whatever_moment(server: RedisServer) -> None:
    for steps in range(60):
        async with asyncio.timeout(_LIMIT), RedisStore.opened(server.url, _TTL, _ROOM):
            for _ in range(steps):
                await asyncio.sleep(0)


async def _there(store: RedisStore, number: int) -> bool:
    return await store.get("ann", f"resp_{number}") is not None


async def _keys(server: RedisServer) -> set[bytes | str]:
    async with Redis.from_url(server.url) as redis:
        return set(await redis.keys("*"))


async def _total(server: RedisServer) -> int:
    async with Redis.from_url(server.url) as redis:
        return int(await redis.hget("codex-proxy:totals", "bytes") or 0)


async def _gone(server: RedisServer, key: str) -> None:
    async with asyncio.timeout(_LIMIT), Redis.from_url(server.url) as redis:
        while await redis.exists(key):
            await asyncio.sleep(0.01)


async def _heard(store: RedisStore) -> None:
    """Wait until the store hears of changes, all of those before this call included."""
    async with asyncio.timeout(_LIMIT):
        while not store._changes.listening:
            await asyncio.sleep(0.01)
        waiting = asyncio.gather(store._changes.wait("probe", 60))
        await asyncio.sleep(0)
        await claim(store, "probe", "nobody")
        await store.release("probe", "nobody")
        await waiting


async def test_a_conversation_of_an_earlier_version_is_found_by_its_items(server: RedisServer, store: RedisStore) -> None:
    names = ("msg_0", "x" * 31, "y" * 32, "ä" * 100, "z" * 256)
    items = [StoredEvent(number, name, b"{}") for number, name in enumerate(names)]
    await store.create(a_conversation(), b"[]", b"[]")
    assert await store.amend("anna", msgspec.structs.replace(amendment(after=-1), added=items))
    assert await store.amend("anna", amendment(after=4, added=range(5, 250)))
    async with Redis.from_url(server.url) as redis:
        await redis.delete("codex-proxy:items:conv_1")
        assert await store.find("anna", "conv_1", [*names, "msg_249", "msg_250"]) == [*items, an_item(249)]
        assert await redis.exists("codex-proxy:items:conv_1") == 0
        assert await store.amend("anna", amendment(after=249, added=[250], removed=[7]))
        assert await redis.hlen("codex-proxy:items:conv_1") == 250
    assert await store.find("anna", "conv_1", ["msg_7", *names, "msg_250"]) == [*items, an_item(250)]
    extent = await store.extent("anna", "conv_1")
    assert extent is not None
    assert extent.items == 250
