"""What only the SQLite store can get wrong: a killed process, a full disk, another process, the file and its schema."""

import asyncio
import contextlib
import os
import random
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from codex_proxy import tasks
from codex_proxy.errors import StorageFull, StoreUnavailable
from codex_proxy.store import sql, sqlite_file
from codex_proxy.store.base import Amendment, Claim, Extent, StoredEvent
from codex_proxy.store.sqlite import SqliteStore
from codex_proxy.store.sqlite_file import MIGRATIONS
from tests.store import child
from tests.store.contract import LIMIT, NARROW, ROOMY, TTL, Opener, a_record, change, claim, ended, put, some_events
from tests.store.processes import child_process, line_of
from tests.support.long_run import often
from tests.support.machine import small_disk_in

_START_LIMIT = 30.0  # seconds for a Python to start: the machines are noisy
_WAL = 4 * 1024 * 1024  # bytes that the file beside may have


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "responses.db"


@pytest.fixture
def open_store(path: Path) -> Opener:
    return lambda ttl, max_bytes: SqliteStore.opened(path, ttl, max_bytes)


def _problems(path: Path) -> list[tuple[str]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        found: list[tuple[str]] = [*db.execute("PRAGMA integrity_check"), *db.execute("PRAGMA foreign_key_check")]
    return [] if found == [("ok",)] else found


@pytest.mark.slow
async def test_a_kill_at_any_moment_loses_nothing_that_was_kept(path: Path, no_leftovers: None) -> None:
    chance = random.Random(4711)  # the same moments in each run
    acknowledged: list[str] = []
    for round_number in range(often(8, 20)):
        async with child_process(child.writes_in_a_loop, path, f"round-{round_number}") as process:
            acknowledged.append(await line_of(process))
            await asyncio.sleep(chance.uniform(0, 0.1))  # not to wait for something: the moment of the kill is by chance
            process.kill()
            rest, _ = await process.communicate()
        acknowledged += [line.decode().strip() for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
        assert _problems(path) == []
    async with SqliteStore.opened(path, TTL, ROOMY) as store:
        for name in acknowledged:
            found = await store.get("anna", name)
            assert found is not None, name
            assert msgspec.structs.replace(found, created_at=0) == msgspec.structs.replace(
                ended(a_record(name), last_event=9), created_at=0
            )
            assert await store.events("anna", name, -1) == some_events(0, 9)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    with small_disk_in(tmp_path, 4) as disk:
        yield disk


async def _fill(store: SqliteStore, size: int) -> None:
    """Create running records until no more goes in."""
    for number in range(100_000):
        await put(store, a_record(f"{size}-{number}", body=b"x" * size))


async def test_a_full_disk_is_told_and_the_store_recovers_when_there_is_room(small_disk: Path) -> None:
    ballast, file = small_disk / "ballast", small_disk / "responses.db"
    ballast.write_bytes(b"x" * 2_500_000)
    async with SqliteStore.opened(file, TTL, ROOMY) as store:
        for size in (50_000, 100):
            with pytest.raises(StorageFull) as told:
                await _fill(store, size)
            assert told.value.retry_after is not None
            assert str(small_disk) not in told.value.message
        for _ in range(3):
            with pytest.raises(StorageFull):
                await store.update(change(a_record("50000-0", body=b"y" * 400_000)))
        kept = await store.get("anna", "50000-0")
        assert kept is not None
        assert kept.body == b"x" * 50_000
        ballast.unlink()
        await put(store, ended(a_record("after", body=b"x" * 50_000)))
        assert await store.update(change(a_record("50000-0", body=b"y" * 100_000)))
        await store.sweep(int(time.time()))
        assert await store.get("anna", "after") is not None
    assert _problems(file) == []


async def test_a_disk_that_is_full_from_the_beginning_is_told(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 4 * 1024 * 1024)
    with pytest.raises(StorageFull):
        async with SqliteStore.opened(small_disk / "responses.db", TTL, ROOMY):
            pass
    ballast.unlink()
    async with SqliteStore.opened(small_disk / "responses.db", TTL, ROOMY) as store:
        await put(store, a_record())


async def test_a_change_by_another_process_wakes_within_a_second(path: Path, open_store: Opener, no_leftovers: None) -> None:
    record = a_record()
    async with open_store(TTL, ROOMY) as store:
        await put(store, record)
        async with child_process(child.ends_a_record_when_told, path, record.id) as process:
            assert await line_of(process) == "ready"
            told = process.stdin
            assert told is not None

            async def tell() -> float:
                await asyncio.sleep(0.5)  # not to wait for something: the change must come while the other is waiting
                told.write(b"\n")
                assert await process.wait() == 0
                return time.monotonic()

            async def wait() -> float:
                while await store.get("anna", record.id) == record:
                    await store.changed(record.id, 60)
                return time.monotonic()

            async with asyncio.timeout(_START_LIMIT):
                changed, seen = await asyncio.gather(tell(), wait())
        assert seen - changed < 1
        found = await store.get("anna", record.id)
        assert found is not None
        assert found.status == "completed"
        assert await store.events("anna", record.id, -1) == some_events(0, 0)


async def test_several_can_make_the_file_at_once_and_write_to_it(open_store: Opener) -> None:
    async def live(name: str) -> None:
        async with open_store(TTL, ROOMY) as store:
            for number in range(10):
                await put(store, a_record(f"{name}-{number}"))

    async with asyncio.timeout(60):
        await asyncio.gather(*(live(str(number)) for number in range(6)))
    async with open_store(TTL, ROOMY) as store:
        assert len(await store.orphans()) == 60


async def test_everything_outlives_a_restart(open_store: Opener) -> None:
    async with open_store(TTL, ROOMY) as store:
        await put(store, a_record())
        await store.update(change(a_record(), some_events(0, 3)))
        await store.renew("here", TTL)
        await claim(store, "key", "first")
        await store.answer("key", "first", b"{}")
    async with open_store(TTL, ROOMY) as store:
        assert await store.get("anna", "resp_1") is not None
        assert await store.events("anna", "resp_1", -1) == some_events(0, 3)
        assert [record.id for record in await store.orphans()] == ["resp_1"]  # whoever held it is dead: we are alone
        assert await claim(store, "key", "second") == Claim("hash", b"{}")


@pytest.mark.parametrize("umask", [0o000, 0o077])
async def test_directory_and_files_are_ours_alone(path: Path, open_store: Opener, umask: int) -> None:
    before = os.umask(umask)
    try:
        async with open_store(TTL, ROOMY) as store:
            await put(store, a_record())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"responses.db": 0o600, "responses.db-wal": 0o600, "responses.db-shm": 0o600, "responses.db.lock": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_files_stay_near_the_bound_and_shrink_with_what_is_in_them(path: Path, open_store: Opener) -> None:
    async with open_store(TTL, 4 * NARROW) as store:
        for number in range(400):
            record = a_record(str(number), body=b"x" * 30_000)
            await put(store, record)
            await store.update(change(ended(record), some_events(0, 50)))
            assert _size(path) < 4 * NARROW + 2 * _WAL
        await store.sweep(int(time.time()))
        assert _size(path) < 4.2 * NARROW
        await store.sweep(int(time.time() + TTL + 10))
        assert _size(path) < NARROW // 4


async def test_a_bound_that_became_smaller_holds_after_a_sweep(path: Path, open_store: Opener) -> None:
    async with open_store(TTL, ROOMY) as store:
        for number in range(300):
            await put(store, ended(a_record(str(number))), conversation=b"x" * 30_000)
    async with open_store(TTL, NARROW) as store:
        await store.sweep(int(time.time()))
        assert _size(path) < 1.2 * NARROW
        assert await store.get("anna", "299") is not None


async def test_answers_of_claims_give_way_when_there_is_nothing_else(path: Path, open_store: Opener) -> None:
    async with open_store(TTL, NARROW) as store:
        await put(store, a_record("running"))
        for number in range(100):
            await claim(store, str(number), "first", lease=TTL + number)
            await store.answer(str(number), "first", b"x" * 50_000)
        await claim(store, "without an answer", "first", lease=1)
        await store.sweep(int(time.time()))
        assert _size(path) < 1.2 * NARROW
        assert await claim(store, "0", "second") == Claim("hash", b"")
        assert await claim(store, "99", "second") == Claim("hash", b"x" * 50_000)
        assert await store.get("anna", "running") is not None


async def test_a_read_does_not_wait_for_a_writer(path: Path, open_store: Opener) -> None:
    async with open_store(TTL, ROOMY) as store:
        await put(store, a_record())
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("DELETE FROM record")
            write = tasks.spawn("update", store.update(change(ended(a_record()))))
            async with asyncio.timeout(LIMIT):
                assert await store.get("anna", "resp_1") == a_record()
            assert not write.done()
            other.execute("ROLLBACK")
            async with asyncio.timeout(LIMIT):
                assert await write


async def test_waits_for_a_locked_file_do_not_add_up(path: Path, open_store: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(TTL, ROOMY) as store:
        assert isinstance(store, SqliteStore)
        monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.2)
        await store._db._writer.execute("PRAGMA busy_timeout = 200")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            told = await asyncio.gather(*(put(store, a_record(f"resp_{n}")) for n in range(40)), return_exceptions=True)
            assert time.monotonic() - began < 4  # one after the other, it takes 8 s
            assert {type(one) for one in told} == {StoreUnavailable}
            other.execute("ROLLBACK")
        await put(store, a_record())


async def test_a_newer_schema_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreUnavailable, match="newer version") as told:
        async with SqliteStore.opened(path, TTL, ROOMY):
            pass
    assert f"schema {len(MIGRATIONS) + 1}" in told.value.detail
    assert _version(path) == len(MIGRATIONS) + 1


async def test_an_empty_file_is_used(path: Path, open_store: Opener) -> None:
    _make(path, b"")
    async with open_store(TTL, ROOMY) as store:
        await put(store, a_record())


async def test_a_file_that_is_no_database_is_told(path: Path, open_store: Opener) -> None:
    _make(path, b"no database" * 1000)
    with pytest.raises(StoreUnavailable) as told:
        async with open_store(TTL, ROOMY):
            pass
    assert "not a database" in told.value.detail
    assert str(path) not in told.value.message


async def test_a_directory_that_cannot_be_made_is_told(path: Path, open_store: Opener) -> None:
    path.parent.touch()
    with pytest.raises(StoreUnavailable) as told:
        async with open_store(TTL, ROOMY):
            pass
    assert str(path) in told.value.detail


async def test_a_closed_store_says_so(open_store: Opener) -> None:
    async with open_store(TTL, ROOMY) as store:
        await store.close()
        with pytest.raises(StoreUnavailable):
            await put(store, a_record())
        with pytest.raises(StoreUnavailable):
            await store.get("anna", "resp_1")


_ROW = "INSERT INTO record VALUES (1, 'resp_1', 'anna', 1, 'completed', FALSE, NULL, FALSE, 1)"
_CONTENT = "INSERT INTO content VALUES (1, x'7b7d', x'5b5d', x'5b5d')"
_EVENT = "INSERT INTO event VALUES (1, 0, 'response.created', x'7b7d')"
# What a file of each version holds, as statements of that version: a migration adds its line and edits none.
_HELD = [
    (_ROW, _CONTENT, _EVENT),
    (_ROW, _CONTENT, _EVENT),
    (
        "INSERT INTO record VALUES (1, 'resp_1', 'anna', 1, 'completed', FALSE, NULL, FALSE, 1, 0)",
        "INSERT INTO body VALUES (1, x'7b7d')",
        "INSERT INTO input VALUES (1, x'5b5d', x'5b5d')",
        _EVENT,
    ),
    (
        "INSERT INTO record VALUES (1, 'resp_1', 'anna', 1, 'completed', FALSE, NULL, FALSE, 1, 0)",
        "INSERT INTO body VALUES (1, x'7b7d')",
        "INSERT INTO input VALUES (1, x'5b5d', x'5b5d')",
        _EVENT,
    ),
    (
        "INSERT INTO record VALUES (1, 'resp_1', 'anna', 1, 'completed', FALSE, NULL, FALSE, 1, 0)",
        "INSERT INTO body VALUES (1, x'7b7d')",
        "INSERT INTO input VALUES (1, x'5b5d', x'5b5d')",
        _EVENT,
    ),
    (
        "INSERT INTO record VALUES (1, 'resp_1', 'anna', 1, 'completed', FALSE, NULL, FALSE, 1, 0, 8)",
        "INSERT INTO body VALUES (1, x'7b7d')",
        "INSERT INTO input VALUES (1, x'5b5d', x'5b5d')",
        _EVENT,
    ),
    (
        "INSERT INTO record VALUES (1, 'resp_1', 'anna', 1, 'completed', FALSE, NULL, FALSE, 1, 0, 8)",
        "INSERT INTO body VALUES (1, x'7b7d')",
        "INSERT INTO input VALUES (1, x'5b5d', x'5b5d')",
        _EVENT,
    ),
    (
        "INSERT INTO record VALUES (1, 'resp_1', 'anna', 1, 'completed', FALSE, NULL, FALSE, 1, 0, 8, 0)",
        "INSERT INTO body VALUES (1, x'7b7d')",
        "INSERT INTO input VALUES (1, x'5b5d', x'5b5d')",
        _EVENT,
    ),
    (
        "INSERT INTO record VALUES (1, 'resp_1', 'anna', 1, 'completed', FALSE, NULL, FALSE, 1, 0, 8, 0)",
        "INSERT INTO body VALUES (1, x'7b7d')",
        "INSERT INTO input VALUES (1, x'5b5d', x'5b5d')",
        _EVENT,
    ),
]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
async def test_a_file_of_every_version_is_brought_up_to_date(path: Path, open_store: Opener, version: int) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as db:
        for statement in (*(statement for step in MIGRATIONS[:version] for statement in step), *_HELD[version - 1]):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    async with open_store(TTL, ROOMY) as store:
        found = await store.get("anna", "resp_1")
        assert found is not None
        assert (found.body, found.last_event) == (b"{}", 0)
        assert await store.input_items("anna", "resp_1") == b"[]"
        assert await store.conversation("anna", "resp_1") == [b"[]"]
        assert [event.type for event in await store.events("anna", "resp_1", -1)] == ["response.created"]
    assert _version(path) == len(MIGRATIONS)
    assert _problems(path) == []


async def test_a_conversation_of_an_earlier_version_is_counted_and_found_by_its_items(path: Path, open_store: Opener) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as db:
        for statement in (statement for step in MIGRATIONS[:7] for statement in step):
            db.execute(statement)
        db.execute("INSERT INTO record VALUES (1, 'conv_1', 'anna', 9999999999, 'conversation', 0, NULL, 0, 1, 4, 10)")
        db.execute("INSERT INTO body VALUES (1, x'7b7d')")
        db.execute("INSERT INTO input VALUES (1, x'5b5d', x'5b5d')")
        db.executemany("INSERT INTO event VALUES (1, ?, ?, x'7b7d')", [(3, "msg_3"), (4, "msg_4")])
        db.execute("PRAGMA user_version = 7")
        db.commit()
    async with open_store(TTL, ROOMY) as store:
        assert await store.extent("anna", "conv_1") == Extent(2, 10)
        assert await store.find("anna", "conv_1", ["msg_4"]) == [StoredEvent(4, "msg_4", b"{}")]
        more = Amendment(id="conv_1", at=int(time.time()), after=4, added=[StoredEvent(5, "msg_5", b"[]")])
        assert await store.amend("anna", more)
        assert await store.extent("anna", "conv_1") == Extent(3, 12)
    with contextlib.closing(sqlite3.connect(path)) as db:
        [(statement, ids)] = sql.select_items(["msg_4", "msg_5"])
        plan = db.execute(f"EXPLAIN QUERY PLAN {statement}", ("conv_1", "anna", *ids)).fetchall()
    assert "USING INDEX event_item (record=? AND type=?)" in str(plan)


def _make(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir() if not file.name.endswith("-shm"))


def _version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        [(version,)] = db.execute("PRAGMA user_version").fetchall()
    return int(version)
