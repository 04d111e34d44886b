"""POST /v1/responses: in the foreground the request itself generates its response, in the background a separate task does."""

import asyncio
import contextlib
import functools

import msgspec
from aiohttp import web

from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.errors import ProxyError
from codex_proxy.lifecycle.claims import Held, KeptAnswer
from codex_proxy.lifecycle.run import Run
from codex_proxy.packing import pack
from codex_proxy.web import errors, idempotency, responses_input, sse
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.gates.bodies import Body
from codex_proxy.web.responses_input import Recently
from codex_proxy.web.responses_kept import follow, told_again
from codex_proxy.web.server import COMMIT_AFTER, SERVER, Server, turn_headers


async def create(request: web.Request) -> web.StreamResponse:
    """Run one turn and answer with a response object or a stream of events; in the background, with a queued response."""
    server = request.app[SERVER]
    who, body = await server.admit_body(request, lambda raw: responses_request.decode(raw).continuing(()).ui_task)

    async def run(held: Held | None) -> web.StreamResponse:
        run = await make_run(server, who, body)
        return await (_background if run.asked.background and not run.asked.prewarm else _foreground)(request, who, run, body, held)

    async def again(kept: KeptAnswer) -> web.StreamResponse:
        asked = await responses_input.decoded(server, who, body.content)
        return await told_again(request, who.owner, kept, stream=asked.stream)

    try:
        return await idempotency.once(request, who.owner, body, run, again)
    finally:
        if not body.queued:
            body.let_go()


async def begin(server: Server, who: Caller, run: Run, body: Body, held: Held | None = None) -> None:
    """Create the record and queue the turn; from then on, the large parts of the request are kept as bytes."""
    if run.asked.store:
        await run.create(*await server.decoding.run(body.size, run.given))
    if run.asked.prewarm:
        if held is not None:
            await held.bind(run.stored_id)
        return
    await run.bind_part()
    await server.decoding.run(body.size, run.give_part)
    packed = await server.decoding.run(body.size, pack, run.turn)
    run.forget_conversation(packed.turn)
    run.start(await server.begin(packed, body, who, held, run.stored_id))


async def _foreground(request: web.Request, who: Caller, run: Run, body: Body, held: Held | None) -> web.StreamResponse:
    try:
        await begin(request.app[SERVER], who, run, body, held)
        headers = turn_headers(run.turn, run.asked.ignored)
        return await (_streamed(request, run, headers) if run.asked.stream else _whole(request, run, headers))
    finally:
        run.leave()
        if held is not None:
            held.recorded = run.recorded


async def _background(request: web.Request, who: Caller, run: Run, body: Body, held: Held | None) -> web.StreamResponse:
    server, headers = request.app[SERVER], turn_headers(run.turn, run.asked.ignored)
    try:
        if run.asked.stream:
            server.followers.check(who.owner)
        await begin(server, who, run, body, held)
    except BaseException:
        run.leave()
        raise
    queued = msgspec.json.encode(run.stream.response)
    server.backgrounds.start(run)
    if held is not None:
        held.answer(KeptAnswer(200, headers, follows=run.id))
    if run.asked.stream:
        return await follow(request, who.owner, run.id, -1, headers)
    answer = errors.json_response(queued)
    answer.headers.update(headers)
    return answer


async def make_run(server: Server, who: Caller, body: Body, recent: Recently | None = None) -> Run:
    """Decode a request into a run, with the conversation that it continues and its fetched images.

    `recent` finds responses that are not stored, where those can be continued; the new response is then recorded too.
    """
    asked = await responses_input.decoded(server, who, body.content, recent)
    body.decoded()
    if recent is not None:
        asked = msgspec.structs.replace(asked, wish=msgspec.structs.replace(asked.wish, record=True))
    part = None
    try:
        async with responses_input.reading(server, who, asked):
            if (name := asked.conversation_id) is not None:
                part, items = await server.conversations.enter(who.owner, name)
                asked = await responses_input.with_items(server, asked, items, body.size)
            else:
                asked = await responses_input.with_previous(server, who, asked, body.size, recent)
        asked = asked.with_images(await server.images_of(asked.wish, who))
        if recent is None:  # no chat UI sends its tasks over a socket
            asked = msgspec.structs.replace(asked, wish=msgspec.structs.replace(asked.wish, task=asked.ui_task))
        # a compaction is a turn of its own: the conversation's thread is left alone
        turn = server.decide(asked.wish, who) if asked.compacts else await server.turn(asked.wish, who, body.size)
        if turn.task is not None:
            asked = asked.unstored()
    except BaseException:
        if part is not None:
            part.leave()
        raise
    return Run(server.instance, server.jobs, who.owner, asked, turn, functools.partial(server.remember, who), part)


async def _whole(request: web.Request, run: Run, headers: dict[str, str]) -> web.Response:
    while not run.told:
        await run.next()
    await request.app[SERVER].traces.settled()
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
            while run.stream.only_waits:  # until then it can still be refused with its own status
                found += await run.next()
    if run.stream.failure is not None:
        raise run.stream.failure
    async with await sse.opened(request, headers) as stream:
        for event in opening:
            await sse.send_event(stream, event)
        while True:
            if run.told:
                await request.app[SERVER].traces.settled()
            for event in found:
                await sse.send_event(stream, event)
            if run.told:
                return stream
            try:
                found = await run.next()
            except ProxyError as error:  # the end could not be written
                await sse.send_event(stream, run.stream.trouble(error))
                return stream
