"""Danger mode, on the real CLI: what a command has made a daemon of dies with its turn's worker, and with no other."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import ProxyStarter, RunningCommand, children_of, ended, processes_with
from tests.e2e.test_command import StartCommand
from tests.support.sessions import http_session

GONE_LIMIT = 2.0  # seconds after a turn's end: SPEC 6
KILLED_LIMIT = 5.0  # seconds for everything when the server itself is killed
DANGER = {"CODEX_SANDBOX_MODE": "danger-full-access", "CODEX_ALLOW_DANGER_FULL_ACCESS": "1"}

# Forks twice, with sessions and groups of their own in between, and lets go of every pipe, as daemons do.
DAEMON = "setsid sh -c 'setsid sleep {} >/dev/null 2>&1 </dev/null &' >/dev/null 2>&1 </dev/null &"


async def run_what_is_asked(request: ModelRequest) -> AsyncIterator[Step]:
    if request.prompt.startswith("run ") and not request.outputs:
        yield Call("exec_command", json.dumps({"cmd": request.prompt.removeprefix("run "), "yield_time_ms": 30_000}), "call_1")
    else:
        yield Say(words("done"))


def seconds_of(which: int) -> str:
    """How long a daemon sleeps: a number that no other run of these tests on this machine has."""
    return f"30{which}.{os.getpid():07}"


async def daemon(seconds: str) -> int:
    """Wait until the daemon sleeps; its pid, and not that of a shell that has the same words in its command line."""
    while True:
        for pid in processes_with(f"sleep {seconds}"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe").endswith("/sleep"):
                    return pid
        await asyncio.sleep(0.01)


async def test_a_daemon_is_gone_two_seconds_after_its_turn_and_the_turn_beside_it_is_not_harmed(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]
) -> None:
    model.script = run_what_is_asked
    environ |= DANGER | {"CODEX_MAX_PARALLEL_REQUESTS": "2"}
    longer, shorter = seconds_of(1), seconds_of(2)
    async with start_proxy() as proxy, asyncio.TaskGroup() as group, asyncio.timeout(60):
        beside = group.create_task(proxy.chat(prompt=f"run {DAEMON.format(longer)} sleep 5; pgrep -f 'sleep {longer}$'"))
        its_daemon = await daemon(longer)
        request = group.create_task(proxy.chat(prompt=f"run {DAEMON.format(shorter)} sleep 1"))
        other = await daemon(shorter)
        assert (await request).status == 200
        async with asyncio.timeout(GONE_LIMIT):
            await ended(other)
        assert not beside.done()
        answer = await beside
        assert answer.status == 200
        async with asyncio.timeout(GONE_LIMIT):
            await ended(its_daemon)
        assert str(its_daemon) in str(model.requests[-1].outputs)


@pytest.mark.parametrize("ending", ["client leaves", "server is killed"])
async def test_a_daemon_does_not_outlive_a_turn_that_is_cut_off(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str], ending: str
) -> None:
    number = seconds_of(3)
    model.script = run_what_is_asked
    environ |= DANGER
    running: RunningCommand = await start_command()
    body = {"messages": [{"role": "user", "content": f"run {DAEMON.format(number)} sleep 60"}]}
    async with http_session() as http, asyncio.timeout(60):
        request = asyncio.ensure_future(http.post(f"{running.base_url}/chat/completions", json=body))
        other = await daemon(number)
        children = children_of(running.process.pid)
        if ending == "server is killed":
            running.process.kill()
        request.cancel()
        async with asyncio.timeout(KILLED_LIMIT if ending == "server is killed" else GONE_LIMIT):
            await ended(other)
            if ending == "server is killed":
                for child in children:
                    await ended(child)
    assert not processes_with(f"sleep {number}")


async def test_a_command_that_kills_its_own_warden_leaves_nothing(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str]
) -> None:
    model.script = run_what_is_asked
    environ |= DANGER | {"CODEX_MAX_PARALLEL_REQUESTS": "2"}
    kill = "p=$$; until grep -q warden[.]py /proc/$p/cmdline; do p=$(cut -d' ' -f4 /proc/$p/stat); done; kill -9 $p"
    number = seconds_of(4)
    running = await start_command()
    body = {"messages": [{"role": "user", "content": f"run {DAEMON.format(number)} sleep 1; {kill}"}]}
    async with http_session() as http, asyncio.timeout(60):
        request = asyncio.ensure_future(http.post(f"{running.base_url}/chat/completions", json=body))
        left = await daemon(number)
        answer = await request
        assert answer.status in (200, 502)  # the CLI may yet tell the end
        async with asyncio.timeout(GONE_LIMIT):
            await ended(left)
        again = {"messages": [{"role": "user", "content": "hello"}]}
        for _ in range(2):  # the other worker has not been harmed, and this one has a successor
            assert (await http.post(f"{running.base_url}/chat/completions", json=again)).status == 200
