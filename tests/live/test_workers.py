"""When a worker is used again and when it is replaced, on the real CLI."""

import asyncio
import functools
import gc
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from codex_proxy.codex.exchange import Exchange
from codex_proxy.codex.opening import Opener
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter, children_of, ended, processes_with


async def run_what_is_asked(request: ModelRequest) -> AsyncIterator[Step]:
    if request.prompt.startswith("run ") and not request.outputs:
        yield Call("exec_command", json.dumps({"cmd": request.prompt.removeprefix("run ")}), "call_1")
    else:
        yield Say(words("done"))


def leads_a_group(pid: int) -> bool:
    """As every worker does; not what a worker has started, nor what has ended meanwhile."""
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


async def _the_one_worker(proxy: Proxy) -> int:
    """The pid of the only worker, once it is the only one."""
    async with asyncio.timeout(10):
        while len(pids := [pid for pid in children_of(os.getpid()) if leads_a_group(pid)]) != 1:
            await asyncio.sleep(0)
        await proxy.server.supervisors.wait_ready()
    return pids[0]


async def test_a_worker_serves_again_after_commands_of_which_nothing_is_left(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]
) -> None:
    model.script = run_what_is_asked
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    async with start_proxy() as proxy:
        first = await _the_one_worker(proxy)
        for command in ("echo hi", "false", "sleep 300.7 & echo left", "setsid -f sleep 300.7"):
            assert (await proxy.chat(prompt=f"run {command}")).status == 200
            assert await _the_one_worker(proxy) == first
        async with asyncio.timeout(2):
            for pid in processes_with("sleep 300.7"):
                await ended(pid)


async def test_a_worker_is_replaced_after_a_turn_without_a_sandbox(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]
) -> None:
    model.script = run_what_is_asked
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": "1", "CODEX_ALLOW_DANGER_FULL_ACCESS": "1"}
    environ["CODEX_SANDBOX_CEILING"] = "danger-full-access"
    async with start_proxy() as proxy:
        first = await _the_one_worker(proxy)
        asked = await proxy.chat(prompt="run echo hi", x_codex={"sandbox": "danger-full-access"})
        assert asked.status == 200
        async with asyncio.timeout(5):
            await ended(first)


def _exchanges() -> list[Exchange]:
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is Exchange]


async def test_a_worker_is_replaced_after_its_number_of_turns(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]
) -> None:
    model.script = run_what_is_asked
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": "1", "CODEX_WORKER_MAX_TURNS": "2"}
    others = _exchanges()  # of tests before, in their tracebacks
    async with start_proxy() as proxy:
        first = await _the_one_worker(proxy)
        assert (await proxy.chat(prompt="say")).status == 200
        assert await _the_one_worker(proxy) == first
        async with asyncio.timeout(5):  # an idle worker has nothing of the conversation, which may be large
            while [one for one in _exchanges() if one not in others]:
                await asyncio.sleep(0.01)
        assert (await proxy.chat(prompt="say")).status == 200
        async with asyncio.timeout(5):
            await ended(first)
        assert (await proxy.chat(prompt="say")).status == 200


async def test_a_turn_that_is_cancelled_before_codex_is_at_it_costs_no_worker(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("on and on " * 100), 0.05)

    model.script = script
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    async with start_proxy() as proxy:
        first = await _the_one_worker(proxy)
        for place, name in ((Opener, "open"), (Exchange, "_start")):  # Codex refuses an interrupt just after the latter
            asking = asyncio.ensure_future(proxy.chat(prompt="say"))
            with monkeypatch.context() as patch:
                patch.setattr(place, name, _and_then(getattr(place, name), functools.partial(_leave, proxy, asking)))
                async with asyncio.timeout(10):
                    await asyncio.wait([asking])
                    while proxy.server.jobs.open:
                        await asyncio.sleep(0)
            assert await _the_one_worker(proxy) == first


def _and_then(step: Callable[..., Awaitable[Any]], then: Callable[[], Awaitable[None]]) -> Callable[..., Awaitable[Any]]:
    async def both(*arguments: Any) -> Any:
        done = await step(*arguments)
        await then()
        return done

    return both


async def _leave(proxy: Proxy, asking: asyncio.Future[aiohttp.ClientResponse]) -> None:
    [job] = proxy.server.jobs.open
    asking.cancel()
    await job.interrupted.wait()


async def test_a_process_that_a_command_left_behind_is_gone_two_seconds_after_the_turn(proxy: Proxy, model: ModelServer) -> None:
    model.script = run_what_is_asked
    assert (await proxy.chat(prompt="run sleep 300.9 & echo left")).status == 200
    async with asyncio.timeout(2):
        for pid in processes_with("sleep 300.9"):
            await ended(pid)


async def test_an_idle_worker_that_dies_is_replaced_before_the_next_turn(
    start_proxy: ProxyStarter, environ: dict[str, str]
) -> None:
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    async with start_proxy() as proxy:
        first = await _the_one_worker(proxy)
        os.kill(first, signal.SIGKILL)
        await ended(first)
        assert await _the_one_worker(proxy) != first
        assert (await proxy.chat(prompt="hi")).status == 200


async def test_a_worker_that_dies_in_the_middle_of_a_turn_is_a_502_that_invites_no_retry(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]
) -> None:
    asked = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.prompt == "wait":
            asked.set()
            await asyncio.Event().wait()
        yield Say(words("done"))

    model.script = script
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    async with start_proxy() as proxy, asyncio.TaskGroup() as group:
        request = group.create_task(proxy.chat(prompt="wait"))
        await asked.wait()
        os.kill(await _the_one_worker(proxy), signal.SIGKILL)
        answer = await request
        assert (answer.status, (await answer.json())["error"]["code"]) == (502, "worker_crashed")
        assert answer.headers["x-should-retry"] == "false"
        assert (await proxy.chat(prompt="hi")).status == 200
