"""How many requests of a caller there were in the last minute: in one process, in Redis, and while Redis is away."""

import asyncio
import time

import aiohttp
import pytest
from redis.asyncio import Redis

from codex_proxy.store.rates import Rates
from codex_proxy.store.redis import RedisStore
from tests.conftest import Proxy, ProxyStarter
from tests.store.contract import ROOMY, TTL
from tests.support.redis_server import RedisServer, redis_server

_WINDOW = 0.3  # seconds


def test_a_caller_has_so_many_requests_in_a_window_that_moves() -> None:
    rates = Rates(_WINDOW)
    assert [rates.hit("ann", 2).granted for _ in range(3)] == [True, True, False]
    refused = rates.hit("ann", 2)
    assert (refused.granted, refused.remaining) == (False, 0)
    assert 0 < refused.reset <= _WINDOW
    assert rates.hit("bert", 2).remaining == 1
    time.sleep(refused.reset)
    assert rates.hit("ann", 2).granted


def test_what_others_granted_counts_too_and_nobody_is_remembered_for_ever() -> None:
    rates = Rates(_WINDOW)
    for number in range(1000):
        rates.note(f"caller {number}")
    rates.note("ann")
    assert not rates.hit("ann", 1).granted
    time.sleep(_WINDOW)
    assert rates.hit("ann", 1).granted
    assert len(rates._times) == 1


async def test_instances_share_a_rate_by_the_clock_of_the_server() -> None:
    async with (
        redis_server() as server,
        RedisStore.opened(server.url, TTL, ROOMY) as one,
        RedisStore.opened(server.url, TTL, ROOMY) as other,
    ):
        found = [await store.hit("ann", 3, 60) for store in (one, other, one, other)]
        assert [hit is not None and hit.granted for hit in found] == [True, True, True, False]
        assert found[3] is not None
        assert found[3].remaining == 0
        assert 55 < found[3].reset <= 60
        async with Redis.from_url(server.url) as redis:  # as if its clock had been set back by an hour since
            await redis.delete("codex-proxy:rate:ann")
            await redis.rpush("codex-proxy:rate:ann", *[str(int((time.time() + 3600) * 1000))] * 3)
        hit = await one.hit("ann", 3, 60)
        assert hit is not None
        assert (hit.granted, hit.remaining) == (True, 2)


async def _ask(proxy: Proxy) -> tuple[int, float]:
    """Status and seconds of a request that is not stored."""
    began = time.monotonic()
    answer = await proxy.chat(model="gpt-5.5", prompt="hi")
    await answer.read()
    return answer.status, time.monotonic() - began


async def _figure(proxy: Proxy, name: str) -> float:
    text = await (await proxy.http.get(f"{proxy.address}/metrics")).text()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))


async def _away(server: RedisServer, how: str) -> None:
    if how == "killed":
        await server.kill()
    elif how == "stopped":
        server.freeze()
    else:
        async with Redis.from_url(server.url) as redis:
            await redis.config_set("maxmemory", 1)


@pytest.mark.parametrize("how", ["killed", "stopped", "full"])
async def test_a_rate_holds_while_redis_is_away_and_no_unstored_request_fails(
    start_proxy: ProxyStarter, environ: dict[str, str], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with redis_server() as server:
        environ |= {"PROXY_STORE": server.url, "RATE_LIMIT_PER_MINUTE": "4"}
        async with start_proxy() as proxy:
            status, usual = await _ask(proxy)
            assert status == 200
            await _away(server, how)
            try:
                found = [await _ask(proxy) for _ in range(4)]
                assert [status for status, _ in found] == [200, 200, 200, 429]
                assert found[0][1] < usual + 2.5  # it is waited for, for a second, by one request
                assert sum(took for _, took in found[1:]) < 3 * usual + 1.5
                health = await proxy.http.get(f"{proxy.address}/health", timeout=aiohttp.ClientTimeout(1))
                assert health.status == 200
                assert await _figure(proxy, "codex_proxy_rates_counted_alone_total") == 4
                assert caplog.text.count("this instance counts requests on its own") == 1
            finally:
                server.thaw()
            if how == "stopped":
                async with asyncio.timeout(20):
                    while "counts requests again" not in caplog.text:
                        await _ask(proxy)
                        await asyncio.sleep(0.1)
