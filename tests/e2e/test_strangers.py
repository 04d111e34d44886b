"""A stranger costs nothing: while one does his worst, health checks are answered at once, memory stays, turns are served.

At once is 0.1 s, or where the machine is busy with other things four times what the slowest of twenty checks took before;
the machines are noisy, so of the checks meanwhile, each on a connection of its own, one in twenty may take longer.
"""

import asyncio
import contextlib
import os
import re
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from tests.conftest import START_LIMIT, TURN_LIMIT, RunningCommand
from tests.support.sessions import http_session

_KEY = "sk-proxy-0123456789"
_ROOT = Path(__file__).parents[2]
_AT_ONCE = 0.1  # seconds
_MOST_MB = 20.0
StartCommand = Callable[..., Awaitable[RunningCommand]]


class Watch:
    """What is seen of a server meanwhile: seconds that health checks took, and by how many MB it grew."""

    def __init__(self, running: RunningCommand) -> None:
        self._running = running
        self._began_mb = self._mb()
        self.seconds: list[float] = []
        self.grown_mb = 0.0

    async def check_health(self) -> None:
        """Ask and look, again and again."""
        while True:
            self.seconds.append(await _check_health(self._running))
            self.grown_mb = max(self.grown_mb, self._mb() - self._began_mb)
            await asyncio.sleep(0.02)

    def _mb(self) -> float:
        status = Path(f"/proc/{self._running.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1000


@pytest.fixture
async def running(start_command: StartCommand, environ: dict[str, str]) -> RunningCommand:
    """The installed command with a key and one worker, that has served a turn."""
    environ |= {"PROXY_API_KEY": _KEY, "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    started = await start_command()
    assert await _turn(started) == 200
    return started


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "key", "expected"),
    [
        ("upload", "", {401}),
        ("wrong_keys", "", {401, 429}),
        ("slow_heads", "", {408}),
        ("crowd", "", {0, 408, 503}),  # 0: it made room before its half was read
        ("chunks", "sk-guess", {401}),
        ("chunks", _KEY, {200}),
    ],
)
async def test_a_stranger_costs_nothing(running: RunningCommand, kind: str, key: str, expected: set[int]) -> None:
    limit = max(_AT_ONCE, 4 * max([await _check_health(running) for _ in range(20)]))
    async with _watching(running) as watch:
        async with asyncio.timeout(START_LIMIT):
            stranger = await _stranger(kind, running, key)
            assert await _turn(running) == 200
            output, _ = await stranger.communicate()
    statuses = msgspec.json.decode(output, type=dict[int, int])
    assert set(statuses) <= expected, statuses
    slow = [seconds for seconds in watch.seconds if seconds > limit]
    assert len(slow) <= len(watch.seconds) / 20, f"{len(slow)} of {len(watch.seconds)} checks were slow, the worst {max(slow)} s"
    assert watch.grown_mb < _MOST_MB
    assert await _turn(running) == 200
    assert await running.stop() == 0


async def test_a_lack_of_descriptors_keeps_others_out_for_seconds_only(running: RunningCommand) -> None:
    pid = running.process.pid
    used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 5, limits[1]))
    address = urlsplit(running.address)
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(START_LIMIT):
        for _ in range(20):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            stack.callback(writer.close)
        await _check_health(running)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert await _turn(running) == 200
    assert await running.stop() == 0


@asynccontextmanager
async def _watching(running: RunningCommand) -> AsyncIterator[Watch]:
    watch = Watch(running)
    checking = asyncio.ensure_future(watch.check_health())
    try:
        yield watch
    finally:
        if checking.done():
            checking.result()
        checking.cancel()
        await asyncio.wait([checking])


async def _stranger(kind: str, running: RunningCommand, key: str) -> asyncio.subprocess.Process:
    arguments = ("-m", "tests.e2e.stranger", kind, str(urlsplit(running.address).port), key)
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=_ROOT, stdout=asyncio.subprocess.PIPE)


async def _check_health(running: RunningCommand) -> float:
    """The seconds that it took, on a connection of its own."""
    began = time.monotonic()
    async with http_session(timeout=aiohttp.ClientTimeout(TURN_LIMIT)) as http:
        assert (await http.get(f"{running.address}/health")).status == 200
    return time.monotonic() - began


async def _turn(running: RunningCommand) -> int:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    async with http_session(headers={"Authorization": f"Bearer {_KEY}"}, timeout=aiohttp.ClientTimeout(TURN_LIMIT)) as http:
        answer = await http.post(f"{running.base_url}/chat/completions", json=body)
        return answer.status
