"""Asking in the four ways there are, chat and responses, streaming and not, and what a client has seen in the end."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec

from tests.conftest import Proxy

FORMS = tuple(itertools.product(("chat/completions", "responses"), (False, True)))
Form = tuple[str, bool]  # the route, and whether it streams


class Seen(msgspec.Struct, frozen=True):
    """`code`: of the error, in the body or in a frame. `status`: of HTTP. `ended`: completed, length, failed …, as it says."""

    status: int
    code: str | None
    text: str
    ended: str | None
    should_retry: str | None
    raw: str


async def ask(proxy: Proxy, form: Form, prompt: str = "go", *, history: bool = False, **members: Any) -> Seen:
    """Ask, and read to the end."""
    route, stream = form
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}] if history else []
    place = "messages" if route == "chat/completions" else "input"
    body = {place: [*said, {"role": "user", "content": prompt}], "stream": stream} | members
    response = await proxy.http.post(f"{proxy.base_url}/{route}", json=body)
    return seen(route, response, await response.text())


def seen(route: str, response: aiohttp.ClientResponse, raw: str) -> Seen:
    """What a whole answer says."""
    read = _read_chat if route == "chat/completions" else _read_responses
    code, text, ended = read(list(_objects(response, raw)))
    return Seen(response.status, code, text, ended, response.headers.get("x-should-retry"), raw)


async def leave(proxy: Proxy, form: Form, prompt: str) -> None:
    """Ask, and leave as soon as the first text has come."""
    route, _ = form
    place = "messages" if route == "chat/completions" else "input"
    body = {place: [{"role": "user", "content": prompt}], "stream": True}
    response = await proxy.http.post(f"{proxy.base_url}/{route}", json=body)
    async with asyncio.timeout(10):
        while b"one " not in await response.content.readline():
            pass
    response.close()


def _objects(response: aiohttp.ClientResponse, raw: str) -> Iterator[dict[str, Any]]:
    if response.content_type != "text/event-stream":
        yield msgspec.json.decode(raw)
        return
    for line in raw.splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield msgspec.json.decode(line[6:])


def _read_chat(objects: list[dict[str, Any]]) -> tuple[str | None, str, str | None]:
    code, text, ended = None, "", None
    for one in objects:
        code = one["error"]["code"] if "error" in one else code
        for choice in one.get("choices", ()):
            text += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
            ended = choice["finish_reason"] or ended
    return code, text, ended


def _read_responses(objects: list[dict[str, Any]]) -> tuple[str | None, str, str | None]:
    code, text, ended = None, "", None
    for one in objects:
        response = one.get("response") or one
        if response.get("error"):
            code = response["error"]["code"]
        if one.get("type") == "response.output_text.delta":
            text += one["delta"]
        ended = response.get("status", ended)
        if not text and ended in ("completed", "incomplete"):
            text = "".join(part["text"] for item in response["output"] for part in item.get("content", ()))
    return code, text, ended
