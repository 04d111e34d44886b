"""POST /v1/responses."""

import asyncio
import contextlib

import msgspec
from aiohttp import web

from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.dialects.responses import stored as responses_stored
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.request import ResponsesRequest
from codex_proxy.errors import InvalidRequest, ProxyError, ResponseNotFound
from codex_proxy.turns import History
from codex_proxy.web import errors, idempotency, sse
from codex_proxy.web.background import BACKGROUNDS, follow
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.response_run import ResponseRun
from codex_proxy.web.server import COMMIT_AFTER, SERVER, Server, turn_headers


async def create(request: web.Request) -> web.StreamResponse:
    """Run one turn, and answer with a response object or a stream of events; in the background with a queued one."""
    server = request.app[SERVER]
    who, raw = await server.admit(request)
    return await idempotency.once(request, who.owner, raw, lambda: _create(request, server, who, raw))


async def _create(request: web.Request, server: Server, who: Caller, raw: bytes) -> web.StreamResponse:
    decoded = responses_request.decode(raw)
    asked = decoded.continuing(await _earlier(server, who.owner, decoded))
    asked = asked.with_images(await server.images_of(asked.wish, who))
    run = ResponseRun(server, who.owner, asked, server.submit(asked.wish, who))
    try:
        if not asked.background:
            return await _foreground(request, run)
        await run.keep_beginning()
    finally:
        if not (asked.background and run.begun):
            run.leave()
    body = msgspec.json.encode(run.stream.response)
    request.app[BACKGROUNDS].start(run)
    headers = turn_headers(run.job.turn, asked.ignored)
    if asked.stream:
        return await follow(request, server, who.owner, run.id, -1, headers)
    answer = errors.json_response(body)
    answer.headers.update(headers)
    return answer


async def _earlier(server: Server, owner: str, asked: ResponsesRequest) -> tuple[History, ...]:
    """The conversation that a request continues. Raises ResponseNotFound, and InvalidRequest while it is not at its end."""
    previous = asked.asked.previous_response_id
    if previous is None:
        return ()
    record = await server.store.get(owner, previous)
    parts = await server.store.conversation(owner, previous)
    if record is None or parts is None:
        raise ResponseNotFound(f"Previous response with id {previous!r} not found.", param="previous_response_id")
    if record.running:
        raise InvalidRequest("The previous response is still in progress.", param="previous_response_id")
    return responses_stored.decode_conversation(parts)


async def _foreground(request: web.Request, run: ResponseRun) -> web.StreamResponse:
    headers = turn_headers(run.job.turn, run.asked.ignored)
    return await (_streamed(request, run, headers) if run.asked.stream else _whole(run, headers))


async def _whole(run: ResponseRun, headers: dict[str, str]) -> web.Response:
    while not run.ended:
        await run.next()
    if run.stream.failure is not None:
        raise run.stream.failure
    answer = errors.json_response(msgspec.json.encode(run.stream.response))
    answer.headers.update(headers)
    return answer


async def _streamed(request: web.Request, run: ResponseRun, headers: dict[str, str]) -> web.StreamResponse:
    opening = run.stream.first()
    found: list[StreamEvent] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(COMMIT_AFTER):
            found = await run.next()
    if run.stream.failure is not None:
        raise run.stream.failure
    async with await sse.opened(request, headers) as stream:
        for event in opening:
            await sse.send_event(stream, event)
        while True:
            for event in found:
                await sse.send_event(stream, event)
            if run.ended:
                return stream
            try:
                found = await run.next()
            except ProxyError as error:  # the end could not be kept
                await sse.send_event(stream, run.stream.trouble(error))
                return stream
