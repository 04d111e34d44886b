"""GET, DELETE /v1/responses/{id}, POST …/cancel, GET …/input_items: stored responses."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from codex_proxy.dialects.responses import stored as responses_stored
from codex_proxy.dialects.responses.events import Error
from codex_proxy.errors import InvalidRequest, ProxyError, ResponseNotFound
from codex_proxy.lifecycle import background
from codex_proxy.lifecycle.claims import KeptAnswer
from codex_proxy.store.base import Record, Sizes
from codex_proxy.web import answers, errors, paging, sse
from codex_proxy.web.server import SERVER, Server


async def show(request: web.Request) -> web.StreamResponse:
    """Return the response object as it is now or, with stream=true, its events after `starting_after`."""
    if request.query.get("stream", "false").lower() not in ("true", "1"):
        owner = (await request.app[SERVER].admit(request)).owner
        return await _told(request, owner, request.match_info["id"], {})
    owner, record = await _record(request)
    if not responses_stored.is_background(record.body):
        raise InvalidRequest("Only a response created with background=true can be streamed again.", param="stream")
    after = paging.whole_number(request, "starting_after", -1, -1, 2**53)
    request.app[SERVER].followers.check(owner)
    return await follow(request, owner, record.id, after, {})


async def delete(request: web.Request) -> web.Response:
    """Delete a response; a running one is stopped."""
    owner, record = await _record(request)
    server = request.app[SERVER]
    await server.store.delete(owner, record.id)
    server.instance.stop(record.id, "it was deleted")  # another instance finds out by itself, in the background
    return errors.json_response(msgspec.json.encode(responses_stored.Deleted(record.id)))


async def cancel(request: web.Request) -> web.Response:
    """Stop a background response; one that has ended is left as it is."""
    owner, record = await _record(request)
    if not responses_stored.is_background(record.body):
        raise InvalidRequest("Only a response created with background=true can be cancelled.")
    await background.cancelled(request.app[SERVER].store, owner, record)
    del record
    return await _told(request, owner, request.match_info["id"], {})


async def input_items(request: web.Request) -> web.Response:
    """Return a page of the request's input items."""
    server, name = request.app[SERVER], request.match_info["id"]
    owner = (await server.admit(request)).owner
    async with _reading(server, owner, name, lambda sizes: sizes.input_items):
        items = await server.store.input_items(owner, name)
        if items is None:
            raise _not_found(name)
        page = await paging.page(request, items)
        del items  # the client may take long
        return await answers.written(request, errors.json_response(page))


async def follow(request: web.Request, owner: str, name: str, after: int, headers: dict[str, str]) -> web.StreamResponse:
    """Stream the events of a background response after number `after`, up to its end, or an error if they are not available."""
    with request.app[SERVER].followers.one(owner):
        return await _follow(request, owner, name, after, headers)


async def _follow(request: web.Request, owner: str, name: str, after: int, headers: dict[str, str]) -> web.StreamResponse:
    async with await sse.opened(request, headers) as stream:
        try:
            async for event in background.follow(request.app[SERVER].store, owner, name, after):
                kind, text, after = event.type, event.content.decode(), event.number
                del event  # the client may take long
                await stream.send(text, event=kind)
        except ProxyError as error:  # numbered like the last event, so a client that resumes after it misses nothing
            await sse.send_event(stream, Error(sequence_number=max(after, 0), code=error.code, message=error.told))
        return stream


async def told_again(request: web.Request, owner: str, kept: KeptAnswer, *, stream: bool) -> web.StreamResponse:
    """Answer a repetition from the record of the first request's response."""
    name = str(kept.follows)
    if not stream:
        return await _told(request, owner, name, kept.headers)
    server = request.app[SERVER]
    async with _reading(server, owner, name, lambda sizes: sizes.body):
        record = await server.store.get(owner, name)
        if record is None:
            raise _not_found(name)
        if not responses_stored.is_background(record.body):
            events = await server.decoding.run(len(record.body), responses_stored.whole_stream, record.body)
            del record
            async with await sse.opened(request, kept.headers) as opened:
                for event, content in events:
                    await opened.send(content.decode(), event=event)
                return opened
    server.followers.check(owner)
    return await follow(request, owner, name, -1, kept.headers)


async def _told(request: web.Request, owner: str, name: str, headers: dict[str, str]) -> web.Response:
    """Write the response object."""
    server = request.app[SERVER]
    async with _reading(server, owner, name, lambda sizes: sizes.body):
        record = await server.store.get(owner, name)
        if record is None or not record.of_response:
            raise _not_found(name)
        answer = errors.json_response(record.body)
        answer.headers.update(headers)
        return await answers.written(request, answer)


@asynccontextmanager
async def _reading(server: Server, owner: str, name: str, size_of: Callable[[Sizes], int]) -> AsyncIterator[None]:
    """Hold a slot for reading a large part of a response, and for writing it. Raises ResponseNotFound and ServerFull."""
    sizes = await server.store.sizes(owner, name)
    if sizes is None:
        raise _not_found(name)
    async with server.answers.one(owner, size_of(sizes)):
        yield


async def _record(request: web.Request) -> tuple[str, Record]:
    server = request.app[SERVER]
    owner = (await server.admit(request)).owner
    name = request.match_info["id"]
    record = await server.store.get(owner, name)
    if record is None or not record.of_response:
        raise _not_found(name)
    return owner, record


def _not_found(name: str) -> ResponseNotFound:
    return ResponseNotFound(f"Response with id {name[:100]!r} not found.")
