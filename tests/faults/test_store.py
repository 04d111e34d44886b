"""Whatever the store does: each request has one outcome, no turn runs twice, and nothing seems to be made for ever.

A matrix: each fault of a real Redis and of a SQLite file, times all that may be under way (`under_way`). A few faults are
always shown; STORE_MATRIX=1 adds the rest, and the long ones.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from codex_proxy.demo.model import ModelServer
from tests.conftest import Proxy, ProxyStarter
from tests.faults.under_way import Turns, UnderWay
from tests.store.distance import Distance, distance_to
from tests.support.machine import small_disk_in
from tests.support.redis_server import RedisServer, redis_server

Fault = AbstractAsyncContextManager[None]
_SETTLED_WITHIN = 20.0  # seconds after the fault
_HEALTH = 1.0  # seconds
_LOCKED_WITHIN = 30.0  # seconds for the test to get the lock between the server's writes, on a noisy machine
_ALL = bool(os.environ.get("STORE_MATRIX"))
_POLICIES = (
    "noeviction",
    *(f"{keys}-{which}" for keys in ("allkeys", "volatile") for which in ("lru", "lfu", "random")),
    "volatile-ttl",
)


@asynccontextmanager
async def _killed(server: RedisServer, seconds: float = 1.0) -> AsyncIterator[None]:
    await server.kill()
    yield
    await asyncio.sleep(seconds)
    await server.start()


def _stopped(seconds: float) -> Callable[[RedisServer], Fault]:
    @asynccontextmanager
    async def fault(server: RedisServer) -> AsyncIterator[None]:
        server.freeze()
        yield
        await asyncio.sleep(seconds)
        server.thaw()

    return fault


def _full(policy: str) -> Callable[[RedisServer], Fault]:
    @asynccontextmanager
    async def fault(server: RedisServer) -> AsyncIterator[None]:
        async with Redis.from_url(server.url) as redis:
            await redis.config_set("maxmemory-policy", policy)
            await redis.config_set("maxmemory", (await redis.info("memory"))["used_memory"] - 20_000)
            yield
            await asyncio.sleep(3)
            await redis.config_set("maxmemory", 0)

    return fault


@asynccontextmanager
async def _flushed(server: RedisServer) -> AsyncIterator[None]:
    async with Redis.from_url(server.url) as redis:
        await redis.flushall()
    yield


@asynccontextmanager
async def _a_replica(server: RedisServer) -> AsyncIterator[None]:
    async with Redis.from_url(server.url) as redis:
        await redis.replicaof("127.0.0.1", "1")
        yield
        await asyncio.sleep(3)
        await redis.replicaof("NO", "ONE")


@asynccontextmanager
async def _of_another_password(server: RedisServer) -> AsyncIterator[None]:
    async with Redis.from_url(server.url) as redis:
        await redis.config_set("requirepass", "another")
    async with Redis.from_url(server.url, password="another") as redis:
        for kind in ("pubsub", "normal"):
            await redis.client_kill_filter(_type=kind)
        yield
        await asyncio.sleep(3)
        await redis.config_set("requirepass", "")


@asynccontextmanager
async def _far_away(distance: Distance) -> AsyncIterator[None]:
    distance.delay = 0.15
    yield
    await asyncio.sleep(6)
    distance.delay = 0.0


_REDIS: dict[str, Callable[[RedisServer], Fault]] = {
    "killed": _killed,
    "stopped 3 s": _stopped(3),
    "full, noeviction": _full("noeviction"),
    "flushed": _flushed,
}
_REDIS_TOO = {
    "stopped 10 s": _stopped(10),
    "stopped 60 s": _stopped(60),
    "a replica": _a_replica,
    "of another password": _of_another_password,
    **{f"full, {policy}": _full(policy) for policy in _POLICIES[1:]},
}


@asynccontextmanager
async def _locked(file: Path) -> AsyncIterator[None]:
    connection = sqlite3.connect(file, timeout=_LOCKED_WITHIN, isolation_level=None, check_same_thread=False)
    with contextlib.closing(connection) as other:
        await asyncio.to_thread(other.execute, "BEGIN EXCLUSIVE")
        yield
        await asyncio.sleep(6)  # longer than a write waits
        other.execute("ROLLBACK")


@asynccontextmanager
async def _disk_full(file: Path) -> AsyncIterator[None]:
    ballast = file.with_name("ballast")
    with ballast.open("wb", buffering=0) as full, contextlib.suppress(OSError):
        while True:
            full.write(b"x" * 4096)
    yield
    await asyncio.sleep(3)
    ballast.unlink()


@asynccontextmanager
async def _removed(file: Path) -> AsyncIterator[None]:
    for one in file.parent.glob(f"{file.name}*"):
        one.unlink()
    yield


@asynccontextmanager
async def _read_only(file: Path) -> AsyncIterator[None]:
    """For root too, and for a descriptor that is open already: each write fails.

    The -shm file stays as it is: SQLite maps it, and the kernel ends whoever writes to a mapped file that is immutable (SIGBUS).
    """
    files = [str(one) for one in (file, file.with_name(f"{file.name}-wal"))]
    if (failed := await _chattr("+i", files)) is not None:
        pytest.skip(f"needs a file that can be made immutable: {failed}")
    try:
        yield
        await asyncio.sleep(6)
    finally:
        await _chattr("-i", files)


async def _chattr(change: str, files: list[str]) -> str | None:
    """What it says when it fails."""
    process = await asyncio.create_subprocess_exec("chattr", change, *files, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    return said.decode().strip() if process.returncode else None


_SQLITE: dict[str, Callable[[Path], Fault]] = {"locked": _locked, "disk full": _disk_full, "removed": _removed}


def _chosen(always: list[str], more: list[str]) -> list[object]:
    left_out = pytest.mark.skipif(not _ALL, reason="only with STORE_MATRIX=1")
    return [*always, *(pytest.param(name, marks=left_out) for name in more)]


@pytest.fixture
def turns(model: ModelServer, environ: dict[str, str]) -> Turns:
    turns = Turns()
    model.script = turns.script
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": "6", "RATE_LIMIT_PER_MINUTE": "1000"}
    return turns


@pytest.mark.slow
@pytest.mark.parametrize("name", _chosen([*_REDIS], [*_REDIS_TOO]))
async def test_a_redis_that_is(name: str, start_proxy: ProxyStarter, turns: Turns, environ: dict[str, str]) -> None:
    async with redis_server() as server:
        environ["PROXY_STORE"] = server.url
        async with start_proxy() as proxy:
            await _hold(proxy, turns, (_REDIS | _REDIS_TOO)[name](server))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*_SQLITE])
async def test_a_file_that_is(name: str, start_proxy: ProxyStarter, turns: Turns, environ: dict[str, str], tmp_path: Path) -> None:
    with small_disk_in(tmp_path, 8) as disk:
        environ["PROXY_STORE"] = f"sqlite://{disk / 'responses.db'}"
        async with start_proxy() as proxy:
            await _hold(proxy, turns, _SQLITE[name](disk / "responses.db"))


@pytest.mark.slow
@pytest.mark.skipif(not _ALL, reason="only with STORE_MATRIX=1")
async def test_a_redis_that_is_300_ms_away(start_proxy: ProxyStarter, turns: Turns, environ: dict[str, str]) -> None:
    async with redis_server() as server, distance_to(server.port) as distance:
        environ["PROXY_STORE"] = f"redis://127.0.0.1:{distance.port}/0"
        async with start_proxy() as proxy:
            await _hold(proxy, turns, _far_away(distance))


@pytest.mark.slow
async def test_a_file_that_may_not_be_written(
    start_proxy: ProxyStarter, turns: Turns, environ: dict[str, str], tmp_path: Path
) -> None:
    environ["PROXY_STORE"] = f"sqlite://{tmp_path / 'responses.db'}"
    async with start_proxy() as proxy:
        await _hold(proxy, turns, _read_only(tmp_path / "responses.db"))


async def _hold(proxy: Proxy, turns: Turns, fault: Fault) -> None:
    under_way = UnderWay(proxy, turns)
    begun, failing = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(under_way.run(begun, failing))
        await begun.wait()
        async with fault:
            failing.set()
            await _does_not_notice(proxy)
        over = time.monotonic()
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, over + _SETTLED_WITHIN - time.monotonic())):
        while left := await under_way.settled():
            await asyncio.sleep(0.2)
    under_way.check_turns()
    print(under_way.outcomes)
    assert (under_way.wrong, left) == ([], [])


async def _does_not_notice(proxy: Proxy) -> None:
    """A check of health, and a request that is not stored."""
    health = await proxy.http.get(f"{proxy.address}/health", timeout=aiohttp.ClientTimeout(_HEALTH))
    assert health.status == 200
    answer = await proxy.http.post(f"{proxy.base_url}/responses", json={"input": "not stored", "store": False})
    assert answer.status == 200, await answer.text()
