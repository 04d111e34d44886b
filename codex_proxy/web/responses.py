"""POST /v1/responses: in the foreground the request makes its response, in the background a task of its own does."""

import asyncio
import contextlib

import msgspec
from aiohttp import web

from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.dialects.responses import stored
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.request import ResponsesRequest
from codex_proxy.errors import InvalidRequest, ProxyError, ResponseNotFound
from codex_proxy.lifecycle.claims import Held, KeptAnswer
from codex_proxy.lifecycle.run import Run
from codex_proxy.web import errors, idempotency, sse
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.responses_kept import follow, told_again
from codex_proxy.web.server import COMMIT_AFTER, SERVER, Server, turn_headers


async def create(request: web.Request) -> web.StreamResponse:
    """Run one turn, and answer with a response object or a stream of events; in the background with a queued one."""
    server = request.app[SERVER]
    who, raw = await server.admit(request)

    async def run(held: Held | None) -> web.StreamResponse:
        asked = await _asked(server, who, raw)
        run = Run(server.instance, server.jobs, who.owner, asked, server.decide(asked.wish, who))
        return await (_background if asked.background else _foreground)(request, who, run, held)

    async def again(kept: KeptAnswer) -> web.StreamResponse:
        return await told_again(request, who.owner, kept, stream=responses_request.decode(raw).stream)

    return await idempotency.once(request, who.owner, raw, run, again)


async def _foreground(request: web.Request, who: Caller, run: Run, held: Held | None) -> web.StreamResponse:
    try:
        await run.create()
        run.start(await request.app[SERVER].begin(run.turn, who, held, run.stored_id))
        headers = turn_headers(run.turn, run.asked.ignored)
        return await (_streamed(request, run, headers) if run.asked.stream else _whole(run, headers))
    finally:
        run.leave()


async def _background(request: web.Request, who: Caller, run: Run, held: Held | None) -> web.StreamResponse:
    server, headers = request.app[SERVER], turn_headers(run.turn, run.asked.ignored)
    try:
        await run.create()
        run.start(await server.begin(run.turn, who, held, run.stored_id))
    except BaseException:
        run.leave()
        raise
    body = msgspec.json.encode(run.stream.response)
    server.backgrounds.start(run)
    if held is not None:
        held.answer(KeptAnswer(200, headers, follows=run.id))
    if run.asked.stream:
        return await follow(request, who.owner, run.id, -1, headers)
    answer = errors.json_response(body)
    answer.headers.update(headers)
    return answer


async def _asked(server: Server, who: Caller, raw: bytes) -> ResponsesRequest:
    """What a request asks for, with the conversation that it continues and what its images' addresses gave."""
    decoded = responses_request.decode(raw)
    previous = decoded.asked.previous_response_id
    if previous is not None:
        record = await server.store.get(who.owner, previous)
        conversation = await server.store.conversation(who.owner, previous)
        if record is None or conversation is None:
            raise ResponseNotFound(f"Previous response with id {previous!r} not found.", param="previous_response_id")
        if record.running:
            raise InvalidRequest("The previous response is still in progress.", param="previous_response_id")
        asked = decoded.continuing(stored.decode_conversation(conversation))
    else:
        asked = decoded.continuing(())
    return asked.with_images(await server.images_of(asked.wish, who))


async def _whole(run: Run, headers: dict[str, str]) -> web.Response:
    while not run.told:
        await run.next()
    if run.stream.failure is not None:
        raise run.stream.failure
    answer = errors.json_response(msgspec.json.encode(run.stream.response))
    answer.headers.update(headers)
    return answer


async def _streamed(request: web.Request, run: Run, headers: dict[str, str]) -> web.StreamResponse:
    opening = run.first()
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
            if run.told:
                return stream
            try:
                found = await run.next()
            except ProxyError as error:  # the end could not be written
                await sse.send_event(stream, run.stream.trouble(error))
                return stream
