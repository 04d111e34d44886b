"""Readers that never stall and never come to an end, and such as leave the last bytes of an answer unread."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from codex_proxy.web import errors, sse
from codex_proxy.web.gates import connections, limits
from codex_proxy.web.gates.connections import Bounds
from codex_proxy.web.gates.runner import Runner

_SOON = 0.3  # seconds
_GET = b"GET /pour HTTP/1.1\r\nHost: localhost\r\n\r\n"
_KB = 1024


class Pouring:
    """Streams for ever, until it is stopped; `ended` says so."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.port = 0
        self.connections: connections.Connections

    async def pour(self, request: web.Request) -> web.StreamResponse:
        try:
            async with await sse.opened(request, {}) as stream:
                while True:
                    await stream.send("x" * 64 * _KB)
        finally:
            self.ended.set()

    async def large(self, _: web.Request) -> web.Response:
        return errors.json_response(bytes(64 * _KB * _KB))

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _KB)
        self.ended.set()
        return web.Response(body=bytes(48 * _KB))  # more than the system's buffers take, and less than stalls a write


@asynccontextmanager
async def _pouring(limit: float, stall_timeout: float) -> AsyncIterator[Pouring]:
    pouring = Pouring()
    app = web.Application(middlewares=[errors.answer_errors, limits.deadline(limit)])
    app.add_routes([web.get("/pour", pouring.pour), web.get("/answer", pouring.answer), web.get("/large", pouring.large)])
    runner = Runner(app, Bounds(stall_timeout=stall_timeout), handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pouring.port = runner.addresses[0][1]
        assert isinstance(runner.server, connections.Connections)
        pouring.connections = runner.server
        async with asyncio.timeout(20):
            yield pouring
    finally:
        await runner.cleanup()


async def test_a_reader_who_takes_a_little_for_ever_is_cut_off_at_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "codex_proxy")
    async with _pouring(limit=2 * _SOON, stall_timeout=10.0) as pouring:
        both = await asyncio.gather(_read(pouring, _GET), _read(pouring, _GET.replace(b"pour", b"large")))
        assert pouring.ended.is_set()
        assert all(64 * _KB < read < 64 * _KB * _KB for read in both)
    assert [record.levelname for record in caplog.records] == ["INFO"] * 2


async def _read(pouring: Pouring, request: bytes) -> int:
    """Read an answer little by little; returns how much came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", pouring.port, limit=_KB)
    writer.write(request)
    read = 0
    with contextlib.suppress(ConnectionError):
        while got := await reader.read(64 * _KB):
            read += len(got)
            await asyncio.sleep(0.01)
    writer.close()
    return read


async def test_the_unread_rest_of_an_answer_does_not_hold_a_connection_that_is_closed() -> None:
    async with _pouring(limit=60.0, stall_timeout=_SOON) as pouring:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * _KB)
            client.connect(("127.0.0.1", pouring.port))
            client.sendall(b"GET /answer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await pouring.ended.wait()
            assert pouring.connections.number == 1
            while pouring.connections.number:
                await asyncio.sleep(0.01)
