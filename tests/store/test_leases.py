"""Who counts as dead: not a process that is stopped, nor one whose clock is another; but one that is killed, at once."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from codex_proxy.store.base import Record, Store
from codex_proxy.store.redis import RedisStore
from codex_proxy.store.sqlite import SqliteStore
from tests.store import child
from tests.store.child import LEASE
from tests.store.contract import LIMIT, ROOMY, TTL
from tests.store.processes import child_process, line_of
from tests.support.machine import clock_ahead
from tests.support.redis_server import redis_server


@pytest.fixture(params=["sqlite", "redis"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Path | str]:
    if request.param == "sqlite":
        yield tmp_path / "responses.db"
        return
    async with redis_server() as server:
        yield server.url


def _opened(place: Path | str) -> AbstractAsyncContextManager[Store]:
    return RedisStore.opened(place, TTL, ROOMY) if isinstance(place, str) else SqliteStore.opened(place, TTL, ROOMY)


async def _orphans_for(store: Store, seconds: float) -> list[Record]:
    """The first ones that are seen in a time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await store.renew("here", LEASE)
                if found := await store.orphans():
                    return found
                await asyncio.sleep(LEASE / 10)
    return []


async def test_a_stopped_holder_lives_and_a_killed_one_does_not(place: Path | str) -> None:
    async with _opened(place) as store, child_process(child.lives, place, "sleeper") as process:
        await store.renew("here", LEASE)
        assert await line_of(process) == "ready"
        process.send_signal(signal.SIGSTOP)
        assert await _orphans_for(store, 3 * LEASE) == []
        assert await store.alive("sleeper")
        process.send_signal(signal.SIGCONT)
        assert await _orphans_for(store, LEASE) == []
        process.kill()
        assert [orphan.id for orphan in await _orphans_for(store, LIMIT)] == ["sleeper"]
        assert not await store.alive("sleeper")


async def test_a_holder_that_sleeps_for_ever_is_dead_in_the_end(place: Path | str) -> None:
    async with _opened(place) as store, child_process(child.lives, place, "sleeper") as process:
        await store.renew("here", LEASE)
        assert await line_of(process) == "ready"
        process.send_signal(signal.SIGSTOP)
        assert [orphan.id for orphan in await _orphans_for(store, 7 * LEASE + LIMIT)] == ["sleeper"]


@pytest.mark.parametrize("ahead", [-20, 20])
async def test_a_clock_that_is_another_kills_nobody(
    place: Path | str, ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process reads a wall clock that is 20 s ahead, or behind."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_opened(place))
        await store.renew("here", LEASE)
        monkeypatch.setenv("PYTHONPATH", clock_ahead(tmp_path, ahead))
        process = await stack.enter_async_context(child_process(child.lives, place, "skewed"))
        assert await line_of(process) == "ready"
        found = await store.get("anna", "skewed")
        assert found is not None
        assert await _orphans_for(store, 2 * LEASE) == []
        process.kill()
        assert [orphan.id for orphan in await _orphans_for(store, LIMIT)] == ["skewed"]
