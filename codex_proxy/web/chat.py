"""POST /v1/chat/completions, and the exchange of one chat turn, which /v1/completions reuses with its own form."""

import asyncio
import contextlib
import functools
import uuid
from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web

from codex_proxy.dialects.answer_filter import AnswerFilter
from codex_proxy.dialects.chat import request as chat_request
from codex_proxy.dialects.chat.answer import Chunks, Completion, GivenAnswer
from codex_proxy.dialects.chat.deltas import ChatDeltas, Delta, Failure, Finish, Reasoning
from codex_proxy.dialects.chat.request import ChatRequest
from codex_proxy.dialects.completions.answer import Pieces, Whole
from codex_proxy.history import History
from codex_proxy.job import Job
from codex_proxy.lifecycle.claims import Held
from codex_proxy.packing import pack
from codex_proxy.web import errors, idempotency, sse
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.gates.bodies import Body
from codex_proxy.web.server import COMMIT_AFTER, SERVER, Server, turn_headers, unix_now


class Form(msgspec.Struct, frozen=True):
    """How a route presents a chat turn: the prefix of its ids, the decoder of its bodies, its whole answers, its stream chunks.

    `check` raises an error for what the route refuses beyond decoding.
    """

    prefix: str
    decode: Callable[[bytes | bytearray], ChatRequest]
    whole: type[Completion] | type[Whole]
    chunks: type[Chunks] | type[Pieces]
    check: Callable[[Server, ChatRequest], None] = lambda _, __: None


CHAT = Form("chatcmpl", chat_request.decode, Completion, Chunks)


async def create(request: web.Request) -> web.StreamResponse:
    """Run one turn and answer with a completion or a stream of chunks."""
    who, body = await request.app[SERVER].admit_body(request, lambda raw: chat_request.decode(raw).wish.task)
    return await answer(request, who, body, CHAT)


async def answer(request: web.Request, who: Caller, body: Body, form: Form) -> web.StreamResponse:
    """Run the turn that an admitted body asks for, and answer in the given form."""
    try:
        return await idempotency.once(request, who.owner, body, lambda held: _create(request, who, body, form, held))
    finally:
        if not body.queued:
            body.let_go()


async def _create(request: web.Request, who: Caller, body: Body, form: Form, held: Held | None) -> web.StreamResponse:
    server = request.app[SERVER]
    asked = await server.decoding.run(len(body.content), form.decode, body.content)
    body.decoded()
    form.check(server, asked)
    asked = asked.with_images(await server.images_of(asked.wish, who))
    packed = await server.decoding.run(body.size, pack, await server.turn(asked.wish, who, body.size))
    asked = asked.without_conversation()
    job = await server.begin(packed, body, who, held)
    try:
        return await _Exchange(request, form, asked, job, functools.partial(server.remember, who, job)).run()
    finally:
        server.jobs.abandon(job)


class _Exchange:
    """A request and the job that answers it."""

    def __init__(
        self, request: web.Request, form: Form, asked: ChatRequest, job: Job, remember: Callable[[tuple[History, ...], bool], None]
    ) -> None:
        """`remember` is called with an answer, and whether it is whole, before the client gets the last of it."""
        self._form = form
        self._request = request
        self._remember = remember
        self._given = GivenAnswer()
        self._asked = asked
        self._job = job
        self._head = (f"{form.prefix}-{uuid.uuid4().hex}", unix_now(), asked.wish.model or job.turn.model)
        held = asked.wish.checked_schema is not None
        self._filter = AnswerFilter(job.turn.mode, json=asked.json, held=held, optional=asked.optional)
        self._deltas = ChatDeltas(
            stop=asked.stop,
            max_tokens=asked.max_tokens,
            show_reasoning=job.turn.summary != "none",
            show_activity=asked.show_activity,
            show_waiting=asked.stream,
            freeform_tools=asked.freeform_tools,
        )

    async def run(self) -> web.StreamResponse:
        return await (self._stream() if self._asked.stream else self._whole())

    async def _whole(self) -> web.Response:
        completion = self._form.whole(*self._head)
        ended = False
        while not ended:
            for delta in await self._next():
                completion.add(delta)
                ended = isinstance(delta, Finish | Failure)
        if completion.error is not None:
            raise completion.error
        await self._request.app[SERVER].traces.settled()
        answer = errors.json_response(msgspec.json.encode(completion.body()))
        answer.headers.update(turn_headers(self._job.turn, self._asked.ignored))
        return answer

    async def _stream(self) -> web.StreamResponse:
        found: list[Delta] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_AFTER):
                while _only_waits(found):  # until then it can still be refused with its own status
                    found += await self._next()
        last = found[-1] if found else None
        if isinstance(last, Failure) and _only_waits(found[:-1]):
            raise last.error
        chunks = self._form.chunks(*self._head, include_usage=self._asked.include_usage)
        async with await sse.opened(self._request, turn_headers(self._job.turn, self._asked.ignored)) as stream:
            await stream.send(_json(chunks.first()))
            while True:
                for delta in found:
                    if isinstance(delta, Failure):
                        await stream.send(errors.body(delta.error).decode())
                        return stream
                    if isinstance(delta, Finish):
                        await self._request.app[SERVER].traces.settled()
                    for chunk in chunks.encode(delta):
                        await stream.send(_json(chunk))
                    if isinstance(delta, Finish):
                        await stream.send("[DONE]")
                        return stream
                found = await self._next()

    async def _next(self) -> list[Delta]:
        """Wait for the next deltas. No events are lost on cancellation."""
        while True:
            event = await self._job.next_event()
            found = [delta for event in self._filter.feed(event) for delta in self._deltas.feed(event)]
            if self._deltas.enough:
                self._job.interrupt()
            for delta in found:
                self._given.add(delta)
            if self._given.ended:
                self._remember(self._given.as_history(), self._given.whole and not self._deltas.enough)
            if found:
                return found


def _only_waits(deltas: Sequence[Delta]) -> bool:
    """Return whether the deltas only say that the turn is waiting."""
    return all(isinstance(delta, Reasoning) and delta.only_waits for delta in deltas)


def _json(chunk: msgspec.Struct) -> str:
    return msgspec.json.encode(chunk).decode()
