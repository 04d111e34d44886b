"""A client that has sent its request and no more, which HTTP allows, gets its answer; one that has left is found out."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import TURN_LIMIT, Proxy

_BODY = {"messages": [{"role": "user", "content": "hi"}]}


def _request(method: str, path: str, body: Mapping[str, object] | None = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(content)}")
    return "\r\n".join((*lines, "", "")).encode() + content


async def _sent(proxy: Proxy, request: bytes, *, eof: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(proxy.address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    if eof:
        writer.write_eof()
    return reader, writer


async def _answered(proxy: Proxy, request: bytes) -> str:
    """All that comes back, without the answers that are passed over."""
    reader, writer = await _sent(proxy, request)
    async with asyncio.timeout(TURN_LIMIT):
        answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    while answer.startswith("HTTP/1.1 100 "):
        answer = answer.partition("\r\n\r\n")[2]
    return answer


@pytest.mark.parametrize(
    "request_", [_request("GET", "/health"), _request("GET", "/v1/models"), _request("POST", "/v1/chat/completions", _BODY)]
)
async def test_a_half_closed_connection_gets_its_answer(proxy: Proxy, request_: bytes) -> None:
    for _ in range(3):
        answer = await _answered(proxy, request_)
        assert answer.startswith("HTTP/1.1 200 OK\r\n"), answer
        assert "connection: close" in answer.lower()


async def test_a_half_closed_connection_gets_its_stream(proxy: Proxy) -> None:
    answer = await _answered(proxy, _request("POST", "/v1/chat/completions", {**_BODY, "stream": True}))
    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert "data: [DONE]" in answer


async def test_a_request_that_cannot_become_whole_is_closed(proxy: Proxy) -> None:
    whole = _request("POST", "/v1/chat/completions", _BODY)
    for part in (whole[:20], whole[:-5]):
        reader, writer = await _sent(proxy, part)
        async with asyncio.timeout(5):
            assert b" 200 " not in await reader.read()
        writer.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_has_left_is_found_out_though_nothing_is_written(
    proxy: Proxy, model: ModelServer, stream: bool
) -> None:
    asked = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        asked.set()
        await asyncio.Event().wait()
        yield Say(words("never"))

    model.script = script
    _, writer = await _sent(proxy, _request("POST", "/v1/chat/completions", {**_BODY, "stream": stream}), eof=False)
    async with asyncio.timeout(TURN_LIMIT):
        await asked.wait()
        writer.close()
        async with asyncio.timeout(5):
            while proxy.server.jobs.open:
                await asyncio.sleep(0.01)
