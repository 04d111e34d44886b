"""What a client reads of stored items is bounded: the bytes of a page, and how many large answers wait for their clients."""

import asyncio
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from codex_proxy.dialects import bounds
from codex_proxy.slots import Slots
from tests.conftest import Proxy
from tests.support.refusals import RESPONSES, post, refusal

Json = dict[str, Any]  # Any: any JSON

_LARGE = 6 * 1024 * 1024  # characters: more than the buffers between two sockets


def _items(*sizes: int) -> list[Json]:
    return [{"role": "user", "content": [{"type": "input_text", "text": "x" * size}]} for size in sizes]


async def _made(proxy: Proxy, route: str, **body: object) -> str:
    answer = await post(proxy, body, route=route)
    assert answer.status == 200, await answer.text()
    return f"/v1/{route}/{(await answer.json())['id']}"


async def _pages(proxy: Proxy, address: str) -> list[list[int]]:
    """The lengths of the texts on each page, from the first to the last."""
    found: list[list[int]] = []
    after = ""
    while True:
        query = "?limit=3&order=asc" + (f"&after={after}" if after else "")
        listed: Json = await (await proxy.http.get(proxy.address + address + query)).json()
        found.append([len(item["content"][0]["text"]) for item in listed["data"]])
        after = listed["last_id"]
        if not listed["has_more"]:
            return found


async def _paged(proxy: Proxy) -> None:
    items = _items(1500, 1500, 1500, 5000, 1, 2, 3, 4)
    conversation = await _made(proxy, "conversations", items=items)
    response = await _made(proxy, RESPONSES, input=items, generate=False)
    for address in (f"{conversation}/items", f"{response}/input_items"):
        assert await _pages(proxy, address) == [[1500, 1500], [1500], [5000], [1, 2, 3], [4]], address


async def _stuck(proxy: Proxy, path: str) -> socket.socket:
    """A client that reads only the first line of its answer."""
    server, loop = urlsplit(proxy.address), asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, (server.hostname, server.port))
    await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nHost: {server.netloc}\r\n\r\n".encode())
    assert await loop.sock_recv(client, 12) == b"HTTP/1.1 200"
    return client


async def _unread(proxy: Proxy) -> None:
    large, small = _items(_LARGE), _items(1)
    conversation, little = await _made(proxy, "conversations", items=large), await _made(proxy, "conversations", items=small)
    response = await _made(proxy, RESPONSES, input=large, generate=False)
    proxy.server.answers.slots = Slots("large answers", 1, 1, wait_timeout=0.0)
    addresses = (f"{conversation}/items", f"{response}/input_items")
    for address, other in (addresses, addresses[::-1]):
        client = await _stuck(proxy, address)
        answer = await proxy.http.get(proxy.address + other)
        assert (answer.status, (await refusal(answer)).code, "Retry-After" in answer.headers) == (503, "server_overloaded", True)
        for little_one in (f"{little}/items", response):
            assert (await proxy.http.get(proxy.address + little_one)).status == 200
        client.close()
        async with asyncio.timeout(5):
            while len(read := await (await proxy.http.get(proxy.address + address)).read()) < _LARGE:
                await asyncio.sleep(0.01)
        assert b"x" * _LARGE in read


async def test_pages_and_unread_answers_are_bounded(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has as many items as fit and at least one; a client that does not read a large one takes a slot of its caller."""
    await _unread(proxy)
    monkeypatch.setattr(bounds, "PAGE_BYTES", 4000)
    await _paged(proxy)
