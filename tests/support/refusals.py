"""Refusals: bodies that a route is given, the chat one when it is not named, and what the answers find wrong with them."""

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aiohttp
import msgspec

from tests.conftest import Proxy
from tests.web.wrong_values import Wrong

Body = bytes | dict[str, Any]  # Any: any JSON
CHAT, RESPONSES = "chat/completions", "responses"
_NAMED = re.compile(r"(?:Invalid value for|Missing required parameter:|Unknown parameter:) '([^']+)'")
GOOD_BODY = b'{"messages":[{"role":"user","content":"hi"}]}'


class Error(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's error: all four members, and no other."""

    message: str
    type: str
    param: str | None
    code: str | None


class _ErrorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    error: Error


async def post(proxy: Proxy, body: Body, headers: Mapping[str, str] | None = None, *, route: str = CHAT) -> aiohttp.ClientResponse:
    """POST a body, as JSON unless the headers say otherwise."""
    # aiohttp warns of large bytes that are not a file
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"}
    return await proxy.http.post(f"{proxy.base_url}/{route}", data=io.BytesIO(raw), headers=kind | dict(headers or {}))


async def refusal(response: aiohttp.ClientResponse) -> Error:
    """The error object of an answer. Raises when it is anything else."""
    assert response.content_type == "application/json", await response.text()
    error = msgspec.json.decode(await response.read(), type=_ErrorBody).error
    assert error.message
    return error


async def amiss(proxy: Proxy, rows: Mapping[str, tuple[Body, str | None]], *, route: str = CHAT) -> dict[str, str | None]:
    """Of name -> (body, expected param): what the answers say that say something else."""
    params = await _params(proxy, route, (body for body, _ in rows.values()))
    return {name: param for (name, (_, expected)), param in zip(rows.items(), params, strict=True) if param != expected}


async def misplaced(
    proxy: Proxy, rows: list[Wrong], body: Callable[..., Body], *, route: str = CHAT
) -> list[tuple[Wrong, str | None]]:
    """Of the wrong values: those whose answer names neither their place nor one inside it."""
    params = await _params(proxy, route, (body(**{member: value}) for _, member, value in rows))
    return [
        (row, param)
        for row, param in zip(rows, params, strict=True)
        if param is None or not (param == row[0] or param.startswith((f"{row[0]}.", f"{row[0]}[")))
    ]


async def _params(proxy: Proxy, route: str, bodies: Iterable[Body]) -> list[str | None]:
    """The `param` of each answer; an answer that is no 400 stands there as a whole."""
    found: list[str | None] = []
    for body in bodies:
        answer = await post(proxy, body, route=route)
        if answer.status != 400:
            found.append(f"{answer.status}: {await answer.text()}")
            continue
        error = await refusal(answer)
        assert error.type == "invalid_request_error"
        if named := _NAMED.match(error.message):
            assert named[1] == error.param
        found.append(error.param)
    return found
