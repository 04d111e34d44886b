"""A turn that a worker never began goes to a fresh one: the idle process was stopped, or was killed as the turn came."""

import asyncio
import os
import signal

import pytest

from tests.conftest import Proxy, ProxyStarter, children_of, ended
from tests.live.test_workers import leads_a_group

_SOON = 15.0  # seconds: five to find out, and the start of a worker on a noisy machine


async def test_a_worker_that_was_stopped_while_idle_swallows_no_request(proxy: Proxy, environ: dict[str, str]) -> None:
    for wanted in ({}, {"x_codex": {"sandbox": "workspace-write"}}, {"messages": _LONG}):  # the thread waits, or is to be started
        await _idle(proxy)
        for pid in _workers():
            os.killpg(pid, signal.SIGSTOP)
        async with asyncio.timeout(_SOON):
            answer = await proxy.chat(**({"prompt": "hi"} | wanted))
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01])
async def test_a_worker_that_is_killed_as_a_request_comes_costs_nothing(
    start_proxy: ProxyStarter, environ: dict[str, str], delay: float
) -> None:
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    async with start_proxy() as proxy:
        for _ in range(3):
            [worker] = _workers()
            asking = asyncio.ensure_future(proxy.chat(prompt="hi"))
            await asyncio.sleep(delay)
            os.killpg(worker, signal.SIGKILL)
            answer = await asking
            assert answer.status == 200 or answer.headers["x-should-retry"] == "false", await answer.text()
            await ended(worker)
            await _idle(proxy)


_LONG = [{"role": role, "content": "earlier"} for role in ("user", "assistant", "user")]


def _workers() -> list[int]:
    return [pid for pid in children_of(os.getpid()) if leads_a_group(pid)]


async def _idle(proxy: Proxy) -> None:
    """Wait until every supervisor has its worker and nothing else starts or ends."""
    async with asyncio.timeout(_SOON):
        while len(_workers()) != proxy.server.settings.max_parallel:
            await asyncio.sleep(0.01)
        await proxy.server.supervisors.wait_ready()
    await asyncio.sleep(1.1)  # longer than a worker counts as busy
