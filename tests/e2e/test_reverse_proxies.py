"""The server behind nginx, Caddy and HAProxy: paced streams, leaving clients, who asks for what, an instance that is drained."""

import asyncio
import io
import itertools
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import ProxyStarter, RunningCommand
from tests.e2e.caddy import caddy
from tests.e2e.front import NAME, Front
from tests.e2e.haproxy import haproxy
from tests.e2e.nginx import nginx

_BODY = {"messages": [{"role": "user", "content": "hi"}]}
_LIMIT = 60.0  # seconds

asks_for_ready = pytest.mark.parametrize("start_front", [caddy, haproxy], ids=lambda start: start.__name__)  # unlike nginx

StartCommand = Callable[..., Awaitable[RunningCommand]]
StartFront = Callable[[Path, str, str], AbstractAsyncContextManager[Front]]


@pytest.fixture(params=[nginx, caddy, haproxy], ids=lambda start: start.__name__)
def start_front(request: pytest.FixtureRequest) -> StartFront:
    start: StartFront = request.param
    return start


@asynccontextmanager
async def behind(
    start_front: StartFront, start_proxy: ProxyStarter, environ: dict[str, str], directory: Path
) -> AsyncIterator[Front]:
    """A server that knows only the front's name, behind it."""
    environ |= {"PROXY_ALLOWED_HOSTS": NAME, "PROXY_TRUSTED_PROXIES": "127.0.0.1", "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    async with asyncio.timeout(_LIMIT), start_proxy() as proxy, start_front(directory, proxy.address, proxy.address) as front:
        yield front


async def test_a_paced_stream_arrives_paced(
    start_front: StartFront, start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, tmp_path: Path
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(tuple(f"t{number} " for number in range(20)), pace=0.1)

    model.script = script
    async with behind(start_front, start_proxy, environ, tmp_path) as front, front.session() as http:
        answer = await http.post(f"{front.address}/v1/chat/completions", json=_BODY | {"stream": True})
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        times = [time.monotonic() async for line in answer.content if b'"content":"t' in line]
    assert len(times) == 20
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert times[-1] - times[0] > 1.6
    assert sorted(gaps)[len(gaps) // 2] > 0.05


async def test_a_socket_comes_through_and_one_that_is_left_ends_its_turn(
    start_front: StartFront, start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, tmp_path: Path
) -> None:
    left = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("Hello there."))
        if request.prompt == "wait":
            try:
                await asyncio.Event().wait()
            finally:
                left.set()

    model.script = script
    async with behind(start_front, start_proxy, environ, tmp_path) as front, front.session() as http:
        async with http.ws_connect(f"{front.address}/v1/responses") as socket:
            for prompt, last in (("go", "response.completed"), ("wait", "response.output_text.delta")):
                await socket.send_json({"type": "response.create", "model": "gpt-5.5 chat", "input": prompt})
                while json.loads(await socket.receive_str())["type"] != last:
                    pass
        async with asyncio.timeout(5):
            await left.wait()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_its_turn(
    start_front: StartFront, start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, tmp_path: Path, stream: bool
) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        asked.set()
        yield Say(("begun",))
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    model.script = script
    body = json.dumps(_BODY | {"stream": stream})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    async with behind(start_front, start_proxy, environ, tmp_path) as front:
        reader, writer = await front.connect()
        writer.write(f"{head}\r\n\r\n{body}".encode())
        await asked.wait()
        if stream:
            await reader.readuntil(b"begun")
        writer.transport.abort()  # as the end of its process: a close of TLS would wait for the front's
        await left.wait()


async def test_probes_and_refusals_come_through_and_a_foreign_host_is_not_served(
    start_front: StartFront, start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, tmp_path: Path
) -> None:
    environ |= {"PROXY_MAX_BODY_MB": "1"}
    async with behind(start_front, start_proxy, environ, tmp_path) as front, front.session() as http:
        for path, status in (("/health", 200), ("/ready", 200), ("/v1/models", 200), ("/nothing", 404)):
            assert (await http.get(front.address + path)).status == status
        assert (await http.get(f"{front.address}/metrics")).status != 200
        url = f"{front.address}/v1/chat/completions"
        for host in ("evil.example", f"{NAME}.evil.example"):
            foreign = await http.post(url, json=_BODY, headers={"Host": host})
            assert foreign.status == 421 or not await foreign.read()
        large = io.BytesIO(b" " * (1024 * 1024 + 1))
        refused = await http.post(url, data=large, headers={"Content-Type": "application/json"})
        assert (refused.status, (await refused.json())["error"]["code"]) == (413, "request_too_large")
    assert model.calls == 0


async def test_a_client_is_known_by_its_address_whatever_it_says_itself(
    start_front: StartFront, start_proxy: ProxyStarter, environ: dict[str, str], tmp_path: Path
) -> None:
    environ["RATE_LIMIT_PER_MINUTE"] = "1"
    found = []
    async with behind(start_front, start_proxy, environ, tmp_path) as front:
        for source, said in (("127.0.0.2", ""), ("127.0.0.2", "192.0.2.1"), ("127.0.0.3", "127.0.0.2")):
            async with front.session(source) as http:
                headers = {"X-Forwarded-For": said} if said else {}
                found.append((await http.post(f"{front.address}/v1/chat/completions", json=_BODY, headers=headers)).status)
    assert found == [200, 429, 200]


@pytest.mark.slow
async def test_one_instance_is_drained_under_load_without_a_failed_request(
    start_front: StartFront, start_command: StartCommand, environ: dict[str, str], model: ModelServer, tmp_path: Path
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words(f"an answer to {request.prompt}"), pace=0.01)

    model.script = script
    environ |= {"PROXY_ALLOWED_HOSTS": NAME, "PROXY_STORE": "memory"}
    one, two = await start_command(), await start_command()
    answered: asyncio.Queue[str] = asyncio.Queue()  # what was wrong with each answer
    drained = asyncio.Event()

    async def load(front: Front) -> None:
        async with front.session() as http:
            while not drained.is_set():
                answer = await http.post(f"{front.address}/v1/chat/completions", json=_BODY)
                answered.put_nowait("" if answer.status == 200 else f"{answer.status} {await answer.text()}")

    async with asyncio.timeout(_LIMIT), start_front(tmp_path, one.address, two.address) as front, asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(load(front))
        assert [await answered.get() for _ in range(20)] == [""] * 20
        assert await one.stop(signal.SIGTERM) == 0
        more = answered.qsize() + 20
        assert [await answered.get() for _ in range(more)] == [""] * more
        drained.set()
    assert {answered.get_nowait() for _ in range(answered.qsize())} <= {""}
    assert await two.stop() == 0


@asks_for_ready
async def test_an_instance_that_is_not_ready_gets_no_request(
    start_front: StartFront, start_command: StartCommand, environ: dict[str, str], tmp_path: Path
) -> None:
    environ |= {"PROXY_ALLOWED_HOSTS": NAME, "PROXY_STORE": "memory", "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    one = await start_command()
    environ["CODEX_CONFIG_DIR"] = str(tmp_path / "not-logged-in")
    two = await start_command()
    found: list[int] = []
    async with asyncio.timeout(_LIMIT), start_front(tmp_path, one.address, two.address) as front, front.session() as http:
        while found[-20:] != [200] * 20:
            found.append((await http.post(f"{front.address}/v1/chat/completions", json=_BODY)).status)
    assert set(found) <= {200, 503}


@asks_for_ready
async def test_an_instance_that_is_slow_to_say_that_it_is_ready_is_not_left_out(
    start_front: StartFront, start_command: StartCommand, environ: dict[str, str], tmp_path: Path
) -> None:
    environ |= {"PROXY_ALLOWED_HOSTS": NAME, "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    running = await start_command()
    async with asyncio.timeout(_LIMIT), start_front(tmp_path, running.address, running.address) as front, front.session() as http:
        running.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.2)  # two health checks
        request = asyncio.ensure_future(http.post(f"{front.address}/v1/chat/completions", json=_BODY))
        await asyncio.sleep(0.2)  # it has come to the front
        running.process.send_signal(signal.SIGCONT)
        assert (await request).status == 200
