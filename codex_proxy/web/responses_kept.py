"""GET, DELETE /v1/responses/{id}, POST …/cancel, GET …/input_items: the responses that are kept."""

import asyncio
import contextlib

import msgspec
from aiohttp import web

from codex_proxy.dialects.responses import stored as responses_stored
from codex_proxy.errors import InvalidRequest, ResponseNotFound
from codex_proxy.store.keeper import RUNNING, Record
from codex_proxy.web import errors
from codex_proxy.web.background import follow
from codex_proxy.web.server import SERVER

_CANCEL_TIMEOUT = 30.0  # seconds; then the answer is the response as it is
_LIMIT, _HIGHEST_LIMIT = 20, 100


async def show(request: web.Request) -> web.StreamResponse:
    """The response object as it is now, or, with stream=true, its events after `starting_after`."""
    owner, record = await _record(request)
    if request.query.get("stream", "false").lower() not in ("true", "1"):
        return errors.json_response(record.body)
    if not _is_background(record):
        raise InvalidRequest("Only a response that was made with background=true can be streamed again.", param="stream")
    after = _whole_number(request, "starting_after", -1, -1, 2**53)
    return await follow(request, request.app[SERVER], owner, record.id, after, {})


async def delete(request: web.Request) -> web.Response:
    """Forget it; one that runs is stopped."""
    owner, record = await _record(request)
    await request.app[SERVER].store.delete(owner, record.id)
    return errors.json_response(msgspec.json.encode(responses_stored.Deleted(record.id)))


async def cancel(request: web.Request) -> web.Response:
    """Stop a background response; one that has ended stays as it is."""
    owner, record = await _record(request)
    if not _is_background(record):
        raise InvalidRequest("Only a response that was made with background=true can be cancelled.")
    store = request.app[SERVER].store
    if record.status in RUNNING and await store.want_cancel(owner, record.id):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                while record.status in RUNNING:
                    await store.changed(record.id, 1.0)
                    record = await store.get(owner, record.id) or record
    return errors.json_response(record.body)


async def input_items(request: web.Request) -> web.Response:
    """A page of the items that the request gave."""
    owner, record = await _record(request)
    limit = _whole_number(request, "limit", _LIMIT, 1, _HIGHEST_LIMIT)
    order = request.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("Invalid value for 'order': allowed are asc and desc.", param="order")
    kept = await request.app[SERVER].store.input_items(owner, record.id) or b"[]"
    page = responses_stored.page(kept, after=request.query.get("after"), limit=limit, newest_first=order == "desc")
    return errors.json_response(msgspec.json.encode(page))


async def _record(request: web.Request) -> tuple[str, Record]:
    server = request.app[SERVER]
    owner = server.check_key(request).owner
    name = request.match_info["id"]
    record = await server.store.get(owner, name)
    if record is None:
        raise ResponseNotFound(f"Response with id {name[:100]!r} not found.")
    return owner, record


def _is_background(record: Record) -> bool:
    return msgspec.json.decode(record.body, type=_Background).background


class _Background(msgspec.Struct):
    background: bool = False


def _whole_number(request: web.Request, name: str, default: int, lowest: int, highest: int) -> int:
    given = request.query.get(name)
    if given is None:
        return default
    digits = given.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 17 and lowest <= int(given) <= highest):
        raise InvalidRequest(f"Invalid value for {name!r}: allowed is a whole number from {lowest} to {highest}.", param=name)
    return int(given)
