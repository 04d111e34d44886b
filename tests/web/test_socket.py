"""The WebSocket of the Responses API: its gates, its bounds, and what it costs."""

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from codex_proxy.decoding import Decoding
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from codex_proxy.web import socket_life
from codex_proxy.web.gates import bodies
from codex_proxy.web.socket_life import SocketTimes
from tests.conftest import Proxy, ProxyStarter
from tests.support.exchange import HELLO
from tests.support.key_file import write_keys
from tests.support.sessions import http_session

_KEY = "sk-proxy-0123456789"
_CREATE = {"type": "response.create", "model": "gpt-5.5 chat", "input": "go", "store": False}
_PAGE_BYTES = 4096
_UNKNOWN = b'\x81\x8c\0\0\0\0{"type":"x"}'  # as a client masks it, with zeros


@pytest.fixture
def guarded(environ: dict[str, str]) -> dict[str, str]:
    """The environment of a server with a key and one worker."""
    environ |= {"PROXY_API_KEY": _KEY, "CODEX_MAX_PARALLEL_REQUESTS": "1", "PROXY_MAX_BODY_MB": "1"}
    return environ


def opened(proxy: Proxy, http: aiohttp.ClientSession | None = None) -> Any:  # Any: aiohttp's own
    """A socket, as an async context manager."""
    return (http or proxy.http).ws_connect(f"{proxy.base_url}/responses")


@pytest.fixture
async def many() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that opens as many sockets as it likes."""
    async with http_session(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield http


async def last_of(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:  # Any: JSON
    """The event that ends what was asked for."""
    async with asyncio.timeout(20):
        while True:
            event: dict[str, Any] = json.loads(await socket.receive_str())
            if event["type"] in ("response.completed", "response.failed", "response.incomplete", "error"):
                return event


async def test_a_stranger_gets_no_socket(guarded: dict[str, str], start_proxy: ProxyStarter) -> None:
    guarded["PROXY_CORS_ORIGINS"] = "https://chat.example"
    async with start_proxy() as proxy, http_session() as stranger:
        address = f"{proxy.base_url}/responses"
        for headers, status in [
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Bearer {_KEY}", "Origin": "https://evil.example"}, 403),
            ({"Authorization": f"Bearer {_KEY}", "Host": "evil.example"}, 421),
        ]:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await stranger.ws_connect(address, headers=headers)
            assert refused.value.status == status
        headers = {"Authorization": f"Bearer {_KEY}", "Origin": "https://chat.example"}
        async with stranger.ws_connect(address, headers=headers) as socket:
            await socket.send_json(_CREATE)
            assert (await last_of(socket))["type"] == "response.completed"


async def test_without_an_upgrade_it_is_a_405(proxy: Proxy) -> None:
    answer = await proxy.http.get(f"{proxy.base_url}/responses")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    bad = await proxy.http.get(f"{proxy.base_url}/responses", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    assert (bad.status, (await bad.json())["error"]["type"]) == (400, "invalid_request_error")


async def test_each_response_counts_for_the_rate_and_not_the_socket(guarded: dict[str, str], start_proxy: ProxyStarter) -> None:
    guarded["RATE_LIMIT_PER_MINUTE"] = "2"
    async with start_proxy() as proxy, contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(opened(proxy)) for _ in range(4)]
        ends = []
        for socket in sockets[:3]:
            await socket.send_json(_CREATE)
            ends.append(await last_of(socket))
        assert [end["type"] for end in ends] == ["response.completed", "response.completed", "error"]
        assert (ends[2]["status"], ends[2]["error"]["code"]) == (429, "rate_limit_exceeded")


async def _leave_while_a_message_is_decoded(proxy: Proxy) -> None:
    hold, size = threading.Event(), 500_000
    busy = asyncio.create_task(proxy.server.decoding.run(size, hold.wait))  # messages after it wait for its end
    async with opened(proxy) as socket, asyncio.timeout(5):
        await socket.send_json(_CREATE | {"input": "x" * size})
        while proxy.server.bodies.held < size:
            await asyncio.sleep(0.01)
        assert socket._response.connection is not None
        assert socket._response.connection.transport is not None
        socket._response.connection.transport.abort()
        while proxy.server.sockets.total:
            await asyncio.sleep(0.01)
    hold.set()
    await busy


async def test_a_message_over_the_bound_or_whose_client_leaves_takes_no_room(
    guarded: dict[str, str], start_proxy: ProxyStarter, model: ModelServer
) -> None:
    async with start_proxy() as proxy:
        await _leave_while_a_message_is_decoded(proxy)
        async with opened(proxy) as socket:
            await socket.send_json(_CREATE | {"input": "x" * 1024 * 1024})
            message = await socket.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1009)
        async with opened(proxy) as socket:
            await socket.send_json(_CREATE)
            assert (await last_of(socket))["type"] == "response.completed"
        assert model.calls == 1
        async with asyncio.timeout(5):
            while proxy.server.bodies.held:
                await asyncio.sleep(0)


async def test_messages_count_among_the_bodies_before_they_are_whole(guarded: dict[str, str], start_proxy: ProxyStarter) -> None:
    guarded["PROXY_MAX_BODIES_MB"] = "2"
    part = b"x" * 900_000
    async with start_proxy() as proxy, contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(opened(proxy)) for _ in range(4)]
        for socket in sockets:
            connection = socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            head = b"\x81\xff" + (1_000_000).to_bytes(8) + b"\0\0\0\0"  # a text of a megabyte, of which most comes
            connection.transport.write(head + part)
        async with asyncio.timeout(10):
            ends = [asyncio.ensure_future(socket.receive()) for socket in sockets]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        assert proxy.server.bodies.held <= 2 * 1024 * 1024
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


async def test_idle_and_old_sockets_are_closed(proxy: Proxy) -> None:
    proxy.server.socket_times = SocketTimes(idle=0.2)
    async with opened(proxy) as socket, asyncio.timeout(5):
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1000)
    proxy.server.socket_times = SocketTimes(life=0.2)
    async with opened(proxy) as socket, asyncio.timeout(5):
        error = await last_of(socket)
        assert error["error"]["code"] == "websocket_connection_limit_reached"
        assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE


async def test_a_turn_outlasts_the_idle_time_of_its_socket(proxy: Proxy, model: ModelServer) -> None:
    proxy.server.socket_times = SocketTimes(idle=0.1, life=0.2)
    go_on = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        await go_on.wait()
        yield Say(("late",))

    model.script = script
    async with opened(proxy) as socket:
        await socket.send_json(_CREATE)
        asyncio.get_running_loop().call_later(0.5, go_on.set)
        assert (await last_of(socket))["type"] == "response.completed"


async def test_there_may_be_only_so_many_at_once(proxy: Proxy) -> None:
    async with opened(proxy) as socket:
        for _ in range(30):
            await socket.send_json(_CREATE)
        refused = 0
        completed = 0
        while refused + completed < 30:
            end = await last_of(socket)
            refused += end["type"] == "error" and end["error"]["code"] == "rate_limit_exceeded"
            completed += end["type"] == "response.completed"
        assert refused >= 1
        assert completed >= 16


async def test_two_hundred_idle_sockets_are_cheap(proxy: Proxy, many: aiohttp.ClientSession) -> None:
    before = memory()
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(opened(proxy, many)) for _ in range(200)]
        assert memory() - before < 40  # both ends are in this process
        began = os.times()
        await asyncio.sleep(1)
        spent = os.times()
        assert spent.user + spent.system - began.user - began.system < 0.3
        await sockets[117].send_json(_CREATE)
        end = await last_of(sockets[117])
        assert end["response"]["output"][-1]["content"][0]["text"] == HELLO
    async with asyncio.timeout(5):
        while proxy.server.sockets.total:
            await asyncio.sleep(0)


async def test_a_caller_can_have_so_many_sockets(proxy: Proxy, many: aiohttp.ClientSession) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(256):
            await stack.enter_async_context(opened(proxy, many))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await opened(proxy, many)
        assert refused.value.status == 429


async def test_turns_over_a_socket_are_counted_and_logged_like_others(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        async with opened(proxy) as socket:
            await socket.send_json(_CREATE)
            await last_of(socket)
            await socket.send_json(_CREATE | {"previous_response_id": "resp_of_nobody"})
            await last_of(socket)
    told = await (await proxy.http.get(f"{proxy.address}/metrics")).text()
    assert 'codex_proxy_turns_total{mode="chat",model="gpt-5.5",outcome="completed"} 1.0' in told
    assert 'codex_proxy_http_answers_total{method="GET",route="/v1/responses",status="101"} 1.0' in told
    assert [record.message for record in caplog.records].count("refused") == 1


def memory() -> float:
    """What this process has resident, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES / 1e6


async def test_what_is_around_many_fragments_is_no_message_that_comes_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_READ_TIMEOUT", -1.0)
    arriving = bodies.Arriving(bodies.Bodies(10_000_000, 100_000_000))
    arriving.more(4_000)
    monkeypatch.setattr(bodies, "_READ_TIMEOUT", 60.0)
    arriving.more(1_000_000)
    arriving.take(1_000_000 - 2_000)  # 6,000 bytes were headers
    monkeypatch.setattr(bodies, "_READ_TIMEOUT", -1.0)
    assert arriving.more(6)  # a pong, while the response is made
    assert not arriving.more(100_000)  # a message that takes too long


async def test_pings_are_not_counted_among_the_bodies_once_they_have_been_answered(proxy: Proxy) -> None:
    async with opened(proxy) as socket:
        for _ in range(20):
            for _ in range(100):
                await socket.ping(b"x" * 125)
            await socket.send_str("{}")  # is refused
            await last_of(socket)
        held = proxy.server.bodies.held
    assert held == 0


def test_the_beginning_of_the_next_message_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever message is handed over meanwhile; and it must be complete in time."""

    async def held() -> tuple[int, bool]:
        every = bodies.Bodies(10_000_000, 100_000_000)
        arriving = bodies.Arriving(every)
        arriving.more(8 + 10 + 1_000_000)
        arriving.take(10)
        left = every.held
        monkeypatch.setattr(bodies, "_READ_TIMEOUT", -1.0)
        return left, arriving.more(6)

    left, goes_on = asyncio.run(held())
    assert 1_000_000 - 14 <= left <= 1_000_000 + 8
    assert not goes_on


def test_a_ping_within_a_message_takes_nothing_of_it_away() -> None:
    async def held() -> int:
        every = bodies.Bodies(10_000_000, 100_000_000)
        arriving = bodies.Arriving(every)
        arriving.more(100_000)
        arriving.more(131)
        arriving.take_control(125)
        return every.held

    assert asyncio.run(held()) == 100_000


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
    """The code and the reason with which the server closes a socket, whatever it says before."""
    async with asyncio.timeout(10):
        while (message := await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
            assert message.type is aiohttp.WSMsgType.TEXT, message
    return message.data, message.extra or ""


@pytest.mark.parametrize("times", [SocketTimes(idle=0.5), SocketTimes(life=0.5)], ids=["idle", "life"])
async def test_pings_and_pongs_do_not_keep_a_socket_open(proxy: Proxy, times: SocketTimes) -> None:
    proxy.server.socket_times = times
    async with opened(proxy) as socket:
        end = asyncio.ensure_future(closed(socket))
        while not end.done():
            with contextlib.suppress(ConnectionError):
                await socket.ping()
                await socket.pong()
            await asyncio.sleep(0.02)
        code, reason = await end
        assert code == 1000
        assert "too long" in reason or "greatest age" in reason


async def test_a_socket_that_is_always_busy_takes_no_more_at_its_end(proxy: Proxy, model: ModelServer) -> None:
    proxy.server.socket_times = SocketTimes(life=0.3)
    go_on = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        await go_on.wait()
        yield Say(("late",))

    model.script = script
    async with opened(proxy) as socket:
        await socket.send_json(_CREATE)
        await asyncio.sleep(0.4)
        await socket.send_json(_CREATE | {"stream_id": "more"})
        refused = await last_of(socket)
        assert (refused["error"]["code"], refused["stream_id"]) == ("websocket_connection_limit_reached", "more")
        go_on.set()
        assert (await last_of(socket))["type"] == "response.completed"
        assert (await closed(socket))[0] == 1000


async def test_a_revoked_key_closes_its_socket_at_the_next_message(
    environ: dict[str, str], start_proxy: ProxyStarter, tmp_path: Path
) -> None:
    environ |= {"PROXY_API_KEYS_FILE": str(tmp_path / "keys.toml"), "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    keys = write_keys(tmp_path / "keys.toml", {"anna": {}, "bert": {}})
    async with start_proxy() as proxy, http_session(headers=keys["anna"]) as anna, opened(proxy, anna) as socket:
        await socket.send_json(_CREATE)
        assert (await last_of(socket))["type"] == "response.completed"
        write_keys(tmp_path / "keys.toml", {"bert": {}})
        await socket.send_json(_CREATE)
        assert (await last_of(socket))["status"] == 401
        assert await closed(socket) == (1008, "The API key is not valid any more.")


async def test_too_many_refusals_in_a_row_close_a_socket(proxy: Proxy) -> None:
    async with opened(proxy) as socket:
        for _ in range(49):
            await socket.send_str("{")
        await socket.send_json(_CREATE)
        for _ in range(49):
            assert (await last_of(socket))["type"] == "error"
        assert (await last_of(socket))["type"] == "response.completed"
        for _ in range(50):
            await socket.send_str("{")
        assert await closed(socket) == (1008, "Too many requests in a row were refused.")


@pytest.mark.parametrize("tiny", [b"\x81\x80\0\0\0\0", b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0"], ids=["text", "ping", "pong"])
async def test_a_flood_of_tiny_messages_keeps_nobody_else_waiting(
    proxy: Proxy, tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How often others have a turn, while what came in one piece is taken: after each message."""
    monkeypatch.setattr(socket_life, "_REFUSED_IN_A_ROW", 10_000)
    turns = 0
    async with opened(proxy) as socket:
        transport = socket._response.connection.transport
        transport.write(tiny * 300 + _UNKNOWN)

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        watching = asyncio.ensure_future(others())
        try:
            async with asyncio.timeout(20):
                while json.loads(await socket.receive_str()).get("error", {}).get("param") != "type":
                    pass
        finally:
            watching.cancel()
    assert turns >= 300


class Watched(Decoding):
    """Notes what is done for bodies of which size, for those that are not small."""

    def __init__(self) -> None:
        super().__init__()
        self.large: list[str] = []

    async def run(self, size: int, work: Any, *arguments: Any, **named: Any) -> Any:  # Any: whatever the work takes and gives
        if size > 32_768:
            self.large.append(work.__name__)
        return await super().run(size, work, *arguments, **named)


async def test_a_large_message_is_never_decoded_between_those_of_others(proxy: Proxy, model: ModelServer) -> None:
    """And what waits as steering has 8 MB on a socket, each input kept once."""
    go_on = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        await go_on.wait()
        yield Say(("done",))

    model.script = script
    proxy.server.decoding.close()
    proxy.server.decoding = watched = Watched()
    large = "x" * 3_000_000
    async with opened(proxy) as socket:
        await socket.send_json({"type": "of nothing known", "stream_id": "a", "input": large})
        assert (await last_of(socket))["stream_id"] == "a"
        assert watched.large == ["decode", "stream_id_of"]
        await socket.send_json(_CREATE)
        created = await next_of(socket, "response.created")
        steer = {"type": "response.steer", "previous_response_id": created["response"]["id"], "input": large}
        watched.large.clear()
        for _ in range(2):
            await socket.send_json(steer)
            await next_of(socket, "response.steer.accepted")
        assert watched.large == ["decode", "check"] * 2
        await socket.send_json(steer)
        failed = await next_of(socket, "response.steer.failed")
        assert (failed["error"]["code"], "8 MB" in failed["error"]["message"]) == ("too_many_pending_steers", True)
        assert failed["steer"]["input"] == large
        assert proxy.server.bodies.held < len(large)
        go_on.set()
        await next_of(socket, "response.completed")
    assert "successor" in watched.large


async def next_of(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:  # Any: JSON
    """The next event of this type."""
    async with asyncio.timeout(20):
        while (event := json.loads(await socket.receive_str()))["type"] != kind:
            pass
    found: dict[str, Any] = event
    return found
