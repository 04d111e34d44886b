"""Ten clients that send the worst bodies for 20 seconds: the server answers others at once, and takes little memory for it.

The time is that of a machine that does nothing else; on a busy one everything takes as many times as long as processes wait for it.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import RunningCommand

_SECONDS = 20.0
_PROBED_EVERY = 0.05  # seconds
_HEALTH = 100  # milliseconds, of 95 in 100
_MEMORY = 150_000_000  # bytes


@pytest.mark.slow
async def test_ten_clients_with_the_worst_bodies_keep_nobody_out_and_cost_little_memory(
    environ: dict[str, str], start_command: Callable[..., Any]
) -> None:  # Any: the fixture's awaitable
    environ["CODEX_DEFAULT_MODE"] = "chat"
    server: RunningCommand = await start_command()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as http:
        assert await _turn(http, server) == 200
        before = _memory(server.process.pid, "VmRSS")
        attackers = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.cost.attack", server.address, str(_SECONDS)), stdout=asyncio.subprocess.PIPE
        )
        waits: list[float] = []
        turns: list[int] = []
        async with asyncio.TaskGroup() as group:
            others = group.create_task(_probe(http, server, waits)), group.create_task(_turns(http, server, turns))
            said, _ = await attackers.communicate()
            for other in others:
                other.cancel()
        grown = _memory(server.process.pid, "VmHWM") - before
    waits.sort()
    median, most, longest = (1000 * waits[len(waits) * part // 100] for part in (50, 95, 99))
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    figures = (
        f"/health: {median:.0f} ms, 95 %: {most:.0f} ms, 99 %: {longest:.0f} ms; {busy:.1f} processes for each processor; "
        f"{grown / 1e6:.0f} MB more; {turns.count(200)} of {len(turns)} turns served; attackers had {said.decode().strip()}"
    )
    print(figures)
    assert most < _HEALTH * busy, figures
    assert grown < _MEMORY, figures
    assert turns.count(200) > 2, figures


async def _probe(http: aiohttp.ClientSession, server: RunningCommand, waits: list[float]) -> None:
    """How long /health takes."""
    while True:
        asked = time.monotonic()
        async with http.get(f"{server.address}/health") as answer:
            assert answer.status == 200
        waits.append(time.monotonic() - asked)
        await asyncio.sleep(_PROBED_EVERY)


async def _turns(http: aiohttp.ClientSession, server: RunningCommand, turns: list[int]) -> None:
    while True:
        turns.append(await _turn(http, server))
        await asyncio.sleep(0.5)


async def _turn(http: aiohttp.ClientSession, server: RunningCommand) -> int:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    async with http.post(f"{server.base_url}/chat/completions", json=body) as answer:
        await answer.read()
        return answer.status


def _memory(pid: int, name: str) -> int:
    """Bytes; VmHWM is the most that it has ever been."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024
