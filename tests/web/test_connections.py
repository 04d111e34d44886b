"""Connections that come slowly, never read, are too many, or do not speak HTTP."""

import asyncio
import errno
import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from codex_proxy.web import errors
from codex_proxy.web.gates import bodies, connections, limits
from codex_proxy.web.gates.connections import Bounds
from codex_proxy.web.gates.runner import Runner
from tests.support.refusals import Error

_SOON = 0.2  # seconds: the bound of what is cut
_MB = 1024 * 1024
_LARGE = b"x" * 8 * _MB  # more than the buffers between two sockets
_GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
_POST = b"POST /json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"


class Client:
    """A client that sends what bytes it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def ask(self, sent: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to these bytes; 0 when the connection ends without one."""
        self.writer.write(sent)
        return await self.answer()

    async def answer(self, half_way: Awaitable[object] | None = None) -> tuple[int, bytes]:
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        self.head = head
        if half_way is not None:
            await half_way
        return int(head.split()[1]), await self._reader.readexactly(int(length[1]) if length else 0)

    async def write_for_ever(self) -> None:
        """Write until it fails: without reading there is nothing else to be seen of the other end."""
        while True:
            self.writer.write(b"x")
            await self.writer.drain()
            await asyncio.sleep(0.01)

    async def closed(self) -> bool:
        """Wait for the end of the connection; whether nothing came before it."""
        try:
            return await self._reader.read() == b""
        except ConnectionError:
            return True


class Front:
    """A server of a few routes on connections of ours."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._clients: list[Client] = []
        self.let_go = asyncio.Event()

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection(*self._address))
        self._clients.append(client)
        return client

    async def health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def refuse(self, _: web.Request) -> web.Response:
        return web.Response(status=401, text="no")

    async def read(self, request: web.Request) -> web.Response:
        return web.Response(body=(await bodies.Bodies(_MB, 8 * _MB).read(request, timeout=_SOON)).content)

    async def pour(self, _: web.Request) -> web.Response:
        return web.Response(body=bytes(64 * _MB))

    async def large(self, _: web.Request) -> web.Response:
        return errors.json_response(_LARGE)

    async def hold(self, _: web.Request) -> web.Response:
        await self.let_go.wait()
        return web.Response(text="held")

    def close(self) -> None:
        self.let_go.set()
        for client in self._clients:
            client.writer.close()


@asynccontextmanager
async def _front(**bounds: float) -> AsyncIterator[Front]:
    app = web.Application(middlewares=[errors.answer_errors, limits.deadline(20.0)], client_max_size=_MB)
    runner = Runner(app, msgspec.convert(bounds, Bounds), handler_cancellation=True)
    front = Front(("", 0))
    app.add_routes([web.get("/health", front.health), web.get("/pour", front.pour), web.get("/hold", front.hold)])
    app.router.add_get("/large", front.large)
    app.router.add_post("/refuse", front.refuse, expect_handler=limits.not_yet)
    app.router.add_post("/json", front.read, expect_handler=limits.not_yet)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        front._address = runner.addresses[0][:2]
        async with asyncio.timeout(10):
            yield front
    finally:
        front.close()
        await runner.cleanup()


async def test_a_head_that_comes_slowly_is_answered_408() -> None:
    async with _front(head_timeout=_SOON) as front:
        client = await front.client()
        status, body = await client.ask(_GET[:-2])
        assert (status, _error(body).code) == (408, "request_timeout")
        assert "connection: close" in client.head.lower()
        assert re.search(r"x-request-id: req_\w{32}\r\n", client.head, re.IGNORECASE)
        assert await client.closed()


async def test_a_slow_head_is_cut_on_a_connection_that_was_used_before() -> None:
    async with _front(head_timeout=_SOON) as front:
        client = await front.client()
        assert (await client.ask(_GET))[0] == 200
        await asyncio.sleep(2 * _SOON)  # idle, which is not slow
        assert (await client.ask(_GET))[0] == 200
        assert (await client.ask(_GET[:10]))[0] == 408
        assert await client.closed()


async def test_a_connection_that_sends_nothing_is_closed_without_a_word() -> None:
    async with _front(head_timeout=_SOON) as front:
        assert await (await front.client()).closed()


async def test_a_handler_may_take_longer_than_a_head() -> None:
    async with _front(head_timeout=_SOON) as front:
        client = await front.client()
        asyncio.get_running_loop().call_later(2 * _SOON, front.let_go.set)
        assert await client.ask(_GET.replace(b"health", b"hold")) == (200, b"held")


async def test_a_body_that_comes_slowly_is_answered_408_and_closed() -> None:
    async with _front() as front:
        client = await front.client()
        status, body = await client.ask(_POST + b"{")
        assert (status, _error(body).code) == (408, "request_timeout")
        assert await client.closed()


async def test_input_is_read_in_pieces_between_which_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    take = connections.Connection.data_received

    def count(its: connections.Connection, data: bytes) -> None:
        pieces.append(len(data))
        take(its, data)

    monkeypatch.setattr(connections.Connection, "data_received", count)
    async with _front() as front:
        sent = _POST.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked") + b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n"
        assert await (await front.client()).ask(sent) == (200, b"a" * 40_000)
    assert sum(pieces) == len(sent)
    assert max(pieces) <= 16_384  # bytes: in 256 kB are 40,000 chunks, frames or requests
    assert pieces.count(0) < 1000  # aiohttp has its parser look for more with each chunk that is read, unless it is kept from it


async def test_a_client_that_does_not_read_its_answer_is_cut_off() -> None:
    async with _front(stall_timeout=_SOON) as front:
        client = await front.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a StreamWriter's is a Transport
        client.writer.write(_GET.replace(b"health", b"pour"))
        with pytest.raises(ConnectionError):
            await client.write_for_ever()


async def test_the_body_of_a_refused_request_is_forgotten_and_its_connection_closed() -> None:
    async with _front() as front:
        client = await front.client()
        sent = b"POST /refuse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000000\r\n\r\n" + bytes(_MB)
        assert await client.ask(sent) == (401, b"no")
        assert "connection: close" in client.head.lower()
        assert await client.closed()


async def test_a_refused_request_whose_body_is_there_keeps_its_connection() -> None:
    async with _front() as front:
        client = await front.client()
        sent = b"POST /refuse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
        assert [await client.ask(sent) for _ in range(2)] == [(401, b"no")] * 2


async def test_a_client_is_told_to_go_on_only_when_its_body_will_be_read() -> None:
    async with _front() as front:
        expecting = b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        client = await front.client()
        assert (await client.ask(b"POST /refuse HTTP/1.1\r\nHost: localhost\r\n" + expecting))[0] == 401
        client = await front.client()
        sent = b"POST /json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + expecting
        assert await client.ask(sent) == (100, b"")
        assert await client.ask(b"{}") == (200, b"{}")


async def test_the_connection_that_has_waited_longest_makes_room() -> None:
    async with _front(most=3) as front:
        busy, fresh, started = [await front.client() for _ in range(3)]
        busy.writer.write(_GET.replace(b"health", b"hold"))
        assert (await started.ask(_GET))[0] == 200
        assert (await (await front.client()).ask(_GET))[0] == 200
        assert await fresh.closed()
        assert (await started.ask(_GET))[0] == 200
        front.let_go.set()
        assert await busy.answer() == (200, b"held")


async def test_a_half_sent_request_that_makes_room_is_told_to_come_again() -> None:
    async with _front(most=1) as front:
        half = await front.client()
        half.writer.write(_GET[:-2])
        await half.writer.drain()
        assert (await (await front.client()).ask(_GET))[0] == 200
        status, body = await half.answer()
        assert (status, _error(body).code) == (503, "server_overloaded")


async def test_when_all_connections_are_at_work_the_next_is_answered_503_at_once() -> None:
    async with _front(most=2) as front:
        for _ in range(2):
            (await front.client()).writer.write(_GET.replace(b"health", b"hold"))
        await asyncio.sleep(_SOON)
        client = await front.client()
        status, body = await client.answer()
        assert (status, _error(body).code) == (503, "server_overloaded")
        assert "retry-after: 5\r\n" in client.head.lower()
        front.let_go.set()
        await asyncio.sleep(_SOON)
        assert (await (await front.client()).ask(_GET))[0] == 200


async def _another_comes(front: Front, _: Client) -> None:
    assert (await (await front.client()).answer())[0] == 503


async def _the_next_request_waits(_: Front, client: Client) -> None:
    client.writer.write(_GET)
    await asyncio.sleep(2 * _SOON)


async def _the_input_ends(_: Front, client: Client) -> None:
    client.writer.write_eof()
    await asyncio.sleep(_SOON)


@pytest.mark.parametrize("meanwhile", [_another_comes, _the_next_request_waits, _the_input_ends])
async def test_a_large_answer_is_whole_whatever_comes_while_it_is_read(
    meanwhile: Callable[[Front, Client], Awaitable[None]],
) -> None:
    async with _front(most=1, head_timeout=_SOON) as front:
        client = await front.client()
        client.writer.write(_GET.replace(b"health", b"large"))
        assert await client.answer(meanwhile(front, client)) == (200, _LARGE)
        if meanwhile is _the_next_request_waits:
            assert await client.answer() == (200, b"ok")
        if meanwhile is _the_input_ends:
            assert await client.closed()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"".join([b"GET / HTTP/1.1\r\n", *(b"X-%d: x\r\n" % number for number in range(200)), b"\r\n"]),
    ],
)
async def test_malformed_http_is_refused_in_openais_form(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with _front() as front:
        for _ in range(3):
            client = await front.client()
            status, body = await client.ask(sent)
            assert (status, _error(body).type) == (400, "invalid_request_error")
            assert re.search(r"x-request-id: req_\w{32}\r\n", client.head, re.IGNORECASE)
            assert await client.closed()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.records[0].exc_info is None


async def test_a_lack_of_descriptors_is_logged_once_and_other_trouble_of_the_loop_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    async with _front() as front:
        waiting = await front.client()
        await asyncio.sleep(_SOON)
        loop = asyncio.get_running_loop()
        with socket.socket() as listener:
            for _ in range(1000):
                lack = OSError(errno.EMFILE, "Too many open files")
                loop.call_exception_handler({"message": "out of system resource", "exception": lack, "socket": listener})
        assert await waiting.closed()
        loop.call_exception_handler({"message": "something else"})
    assert [record.getMessage() for record in caplog.records] == [
        "a connection could not be accepted: Too many open files",
        "something else",
    ]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    error: Error


def _error(body: bytes) -> Error:
    return msgspec.json.decode(body, type=_Body).error
