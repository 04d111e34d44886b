"""Streams on the wire: how they end for a client that knows no chunks, and what keeps them alive."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, web

from codex_proxy.web import sse
from tests.conftest import TURN_LIMIT, Proxy
from tests.support import virtual_time

_CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "stream": True}, "data: [DONE]\n\n")
_ITEMS = ("/v1/responses", {"input": "hi", "stream": True}, "\n\n")


@pytest.mark.parametrize("asked", [_CHAT, _ITEMS])
@pytest.mark.parametrize("connection", ["", "Connection: keep-alive\r\n"])
async def test_a_stream_for_http_1_0_ends_by_closing(proxy: Proxy, asked: tuple[str, object, str], connection: str) -> None:
    path, body, end = asked
    content = json.dumps(body)
    head = (
        f"POST {path} HTTP/1.0\r\nHost: localhost\r\n{connection}Content-Type: application/json\r\nContent-Length: {len(content)}"
    )
    parts = urlsplit(proxy.address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"{head}\r\n\r\n{content}".encode())
    async with asyncio.timeout(TURN_LIMIT):
        answer = (await reader.read()).decode()  # to the end of the connection
    writer.close()
    await writer.wait_closed()
    told, _, stream = answer.partition("\r\n\r\n")
    assert " 200 OK\r\n" in told
    assert "connection: close" in told.lower()
    assert "transfer-encoding" not in told.lower()
    assert stream.startswith(("data: {", "event: response.created\ndata: {"))
    assert stream.endswith(end)


async def test_a_comment_has_no_blank_line_after_it_and_is_in_no_frame() -> None:
    heard = asyncio.Event()
    large = "ä\U0001f600" * 1_000_000

    async def quiet(request: web.Request) -> web.StreamResponse:
        async with await sse.opened(request, {}, keepalive_interval=0.01) as stream:
            await heard.wait()
            await stream.send(large, event="large")
            await stream.send("end")
            return stream

    app = web.Application()
    app.router.add_post("/", quiet)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with ClientSession() as http, asyncio.timeout(10), http.post(f"http://127.0.0.1:{runner.addresses[0][1]}/") as answer:
            lines = [await answer.content.readline() for _ in range(3)]
            heard.set()
            rest = (await answer.content.read()).decode().splitlines(keepends=True)
    finally:
        await runner.cleanup()
    assert lines[:3] == [b": ping\n"] * 3
    frames = ["event: large\n", f"data: {large}\n", "\n", "data: end\n", "\n"]
    assert [line for line in rest if line != ": ping\n"] == frames


class _Slow(sse._Stream):
    """A stream whose client takes half a minute for each piece."""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await asyncio.sleep(30.0 - 1.0)


def test_a_slow_reader_has_as_much_time_for_each_piece_of_a_large_frame_as_for_a_small_one() -> None:
    virtual_time.run(_Slow(send_timeout=sse.STALL_TIMEOUT).send("x" * 1_000_000, event="large"))
