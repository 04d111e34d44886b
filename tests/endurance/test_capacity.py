"""How much the server holds at once, and that it holds no more after many turns than after a few hundred."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median

import aiohttp
import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from codex_proxy.web.gates import descriptors
from tests.conftest import RunningCommand
from tests.endurance.figures import Use, disk_mb, use_of
from tests.support.long_run import often
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
IDLE, QUEUED, FOLLOWED = 1500, 400, 100
HEALTH_LIMIT = 0.1  # seconds, the median
HELD_MB, LEFT_MB = 150.0, 80.0  # of memory for all of these, and when they have left
BACK_WITHIN = 20.0  # seconds
TURNS, IN_A_ROW, AT_ONCE, COMPARED = often(600, 2000), 10, 4, often(60, 100)  # turns, of which so many make a conversation
STORE_MB, GROWN_MB = 2, 15.0
SLOWER = 1.3  # times, turns of a server after so many than those of a new one beside it
FLOOD_KB, FLOOD_MB = 16, 64  # of one piece, and of all of them; the CLI takes them from the model, whoever reads
STALLED_MB = 20.0  # of memory for one reader that has stalled, events that wait for it included
CUT_WITHIN = 60.0  # seconds; the bound is 30


@asynccontextmanager
async def _idle(address: str, number: int) -> AsyncIterator[None]:
    """So many connections that have had an answer, and ask no more."""
    host, port = address.removeprefix("http://").split(":")
    writers = []

    async def open_one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writers.append(writer)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in await reader.readline()

    for _ in range(0, number, 100):
        await asyncio.gather(*(open_one() for _ in range(100)))
    try:
        yield
        assert not any(writer.transport.is_closing() for writer in writers)
    finally:
        for writer in writers:
            writer.close()


async def _health(running: RunningCommand) -> list[float]:
    """How long each of some health checks takes, in seconds, as those of a balancer, a connection each."""
    found = []
    async with http_session(connector=aiohttp.TCPConnector(force_close=True)) as http:
        for _ in range(50):
            began = time.monotonic()
            assert (await http.get(f"{running.address}/health")).status == 200
            found.append(time.monotonic() - began)
            await asyncio.sleep(0.02)
    return found


async def _back_to(before: Use, pid: int) -> Use:
    """Wait until it has about as many descriptors and threads as before; what it uses then."""
    async with asyncio.timeout(BACK_WITHIN):
        while (now := use_of(pid)).descriptors > before.descriptors + 10 or now.threads > before.threads + 5:
            await asyncio.sleep(0.1)
    return now


@pytest.mark.slow
async def test_it_holds_1500_idle_connections_and_500_streams_and_forgets_them(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str]
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.prompt == "wait":
            await asyncio.Event().wait()
        yield Say(("done",))

    model.script = script
    descriptors.raise_file_limit(2)
    environ |= {"CODEX_MAX_QUEUED_REQUESTS": "600", "CODEX_QUEUE_TIMEOUT": "300", "LOG_LEVEL": "warning"}
    running = await start_command()
    pid = running.process.pid
    before = use_of(pid)
    async with http_session(connector=aiohttp.TCPConnector(limit=0)) as http, _idle(running.address, IDLE):
        chat = {"messages": [{"role": "user", "content": "wait"}], "stream": True}
        background = {"input": "wait", "stream": True, "background": True}
        asked = [
            *(http.post(f"{running.base_url}/chat/completions", json=chat) for _ in range(QUEUED)),
            *(http.post(f"{running.base_url}/responses", json=background) for _ in range(FOLLOWED)),
        ]
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*asked)
        assert [answer.status for answer in answers] == [200] * len(answers)
        held, health = use_of(pid), await _health(running)
        print(f"held: {held}, before: {before}; health: median {median(health) * 1000:.0f} ms, most {max(health) * 1000:.0f}")
        assert held.descriptors > IDLE + QUEUED + FOLLOWED
        assert held.memory_mb - before.memory_mb < HELD_MB
        assert median(health) < HEALTH_LIMIT
        created = [await _response_id(answer) for answer in answers[QUEUED:]]
        await asyncio.gather(*(http.post(f"{running.base_url}/responses/{one}/cancel") for one in created))
    after = await _back_to(before, pid)
    print(f"after: {after}")
    assert after.memory_mb - before.memory_mb < LEFT_MB
    async with http_session() as http, asyncio.timeout(30):
        answer = await http.post(f"{running.base_url}/chat/completions", json={"messages": [{"role": "user", "content": "go"}]})
        assert answer.status == 200
    assert await running.stop() == 0


async def _response_id(answer: aiohttp.ClientResponse) -> str:
    while b'"id":"resp_' not in (line := await answer.content.readline()):
        pass
    return "resp_" + line.decode().partition('"id":"resp_')[2].partition('"')[0]


@pytest.mark.slow
async def test_many_turns_cost_no_memory_descriptors_threads_or_disk_and_no_speed(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str], home: Home
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(("done",))

    model.script = script
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": str(AT_ONCE), "PROXY_STORE_MAX_MB": str(STORE_MB), "LOG_LEVEL": "warning"}
    running = await start_command()
    uses: list[Use] = []
    numbers = iter(range(TURNS))

    async def client() -> None:
        previous = None
        async with http_session() as http:
            for turn, number in enumerate(numbers):
                previous = previous if turn % IN_A_ROW else None
                _, previous = await _turn(http, running, stream=bool(number % 2), previous=previous)
                if number % 100 == 99:
                    uses.append(use_of(running.process.pid))

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    state, codex = disk_mb(home.root / ".local" / "state"), disk_mb(home.codex_home)
    early, late = uses[3], uses[-1]
    new, aged = await _compared(await start_command(), running)
    print(f"{early} -> {late}; new {new * 1000:.0f} ms, aged {aged * 1000:.0f} ms; state {state}, CODEX_HOME {codex}")
    assert late.memory_mb - early.memory_mb < GROWN_MB
    assert late.descriptors <= early.descriptors + 10  # successors of workers may be starting
    assert late.threads <= early.threads + 5
    assert aged < SLOWER * new
    assert sum(state.values()) < 4 * STORE_MB
    assert (
        sum(size for name, size in codex.items() if not name.startswith("logs_")) < 20
    )  # three of its databases have a write-ahead log of 4 MB; its log grows with every turn: docs/TROUBLESHOOTING.md
    assert await running.stop() == 0


async def _turn(
    http: aiohttp.ClientSession, server: RunningCommand, *, stream: bool, previous: str | None = None
) -> tuple[float, str]:
    """One turn: how long it took, in seconds, and the id of its response."""
    began = time.monotonic()
    body = {"input": "go", "stream": stream} | ({"previous_response_id": previous} if previous else {})
    answer = await http.post(f"{server.base_url}/responses", json=body)
    text = await answer.text()
    assert "done" in text
    made = re.search(r'"id":"(resp_[^"]+)"', text)
    assert made
    return time.monotonic() - began, made[1]


async def _compared(*servers: RunningCommand) -> list[float]:
    """The median of a turn of each server, in seconds, taken at the same time: the machine's noise is the same for all."""
    took: list[list[float]] = [[] for _ in servers]
    async with http_session() as http:
        for number in range(COMPARED):
            for server, times in zip(servers, took, strict=True):
                times.append((await _turn(http, server, stream=bool(number % 2)))[0])
    return [median(times) for times in took]


@pytest.mark.slow
async def test_a_reader_that_stalls_costs_no_memory_and_is_cut_off(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str]
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(("x" * FLOOD_KB * 1024,) * (FLOOD_MB * 1024 // FLOOD_KB))

    model.script = script
    environ |= {"CODEX_TIMEOUT": "300", "CODEX_MAX_PARALLEL_REQUESTS": "1", "LOG_LEVEL": "warning"}
    running = await start_command()
    before = use_of(running.process.pid)
    most = before.memory_mb
    host, port = running.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    body = b'{"messages":[{"role":"user","content":"go"}],"stream":true}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    assert b"200" in await reader.readline()
    began = time.monotonic()
    async with asyncio.timeout(CUT_WITHIN):
        while (now := use_of(running.process.pid)).descriptors > before.descriptors:
            most = max(most, now.memory_mb)
            await asyncio.sleep(0.1)
    print(f"cut off after {time.monotonic() - began:.0f} s; memory {before.memory_mb:.0f} -> at most {most:.0f} MB")
    assert most - before.memory_mb < STALLED_MB
    writer.close()
    assert await running.stop() == 0
