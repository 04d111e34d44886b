"""POST /v1/responses."""

import asyncio
import contextlib
import uuid

import msgspec
from aiohttp import web

from codex_proxy.dialects import responses_request
from codex_proxy.dialects.final_only import FinalOnly
from codex_proxy.dialects.responses_events import StreamEvent
from codex_proxy.dialects.responses_request import ResponsesRequest
from codex_proxy.dialects.responses_stream import ResponsesStream
from codex_proxy.jobs import Job
from codex_proxy.web import errors, sse
from codex_proxy.web.server import COMMIT_AFTER, SERVER, turn_headers, unix_now


async def create(request: web.Request) -> web.StreamResponse:
    """Run one turn, and answer with a response object or a stream of events."""
    server = request.app[SERVER]
    asked = await server.admit(request, responses_request.decode)
    turn = server.decide(asked.wish)
    job = server.jobs.submit(turn)
    try:
        return await _Exchange(request, asked, job).run()
    finally:
        server.abandon(job)


class _Exchange:
    """One request and the job that answers it."""

    def __init__(self, request: web.Request, asked: ResponsesRequest, job: Job) -> None:
        self._request = request
        self._asked = asked
        self._job = job
        self._final_only = FinalOnly() if asked.json and job.turn.mode == "agent" else None
        self._stream = ResponsesStream(
            asked.blank_response(f"resp_{uuid.uuid4().hex}", unix_now(), job.turn),
            freeform_tools=frozenset(tool.name for tool in job.turn.tools if tool.freeform),
            show_reasoning=job.turn.summary != "none",
            show_encrypted=asked.show_encrypted,
            show_activity=asked.show_activity,
        )

    async def run(self) -> web.StreamResponse:
        return await (self._streamed() if self._asked.stream else self._whole())

    async def _whole(self) -> web.Response:
        while not self._job.read:
            await self._next()
        if self._stream.failure is not None:
            raise self._stream.failure
        answer = errors.json_response(msgspec.json.encode(self._stream.response))
        answer.headers.update(turn_headers(self._job.turn, self._asked.ignored))
        return answer

    async def _streamed(self) -> web.StreamResponse:
        opening = self._stream.first()
        found: list[StreamEvent] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_AFTER):
                found = await self._next()
        if self._stream.failure is not None:
            raise self._stream.failure
        async with await sse.opened(self._request, turn_headers(self._job.turn, self._asked.ignored)) as stream:
            for event in opening:
                await sse.send_event(stream, event)
            while True:
                for event in found:
                    await sse.send_event(stream, event)
                if self._job.read:
                    return stream
                found = await self._next()

    async def _next(self) -> list[StreamEvent]:
        """What the client sees next; cancelled while it waits, it loses nothing."""
        while True:
            event = await self._job.next_event()
            events = self._final_only.feed(event) if self._final_only else [event]
            found = [told for event in events for told in self._stream.feed(event, unix_now())]
            if self._stream.enough:
                self._job.interrupt()
            if found:
                return found
