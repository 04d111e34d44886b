"""POST /v1/responses/compact: a turn in chat mode writes the summary of a conversation; nothing is stored."""

import uuid

import msgspec
from aiohttp import web

from codex_proxy.dialects.chat.deltas import ChatDeltas, Content, Failure, Finish
from codex_proxy.dialects.responses import compaction, objects
from codex_proxy.dialects.responses.compaction import CompactedMessage, CompactedResponse
from codex_proxy.dialects.responses.items import CompactionItem
from codex_proxy.dialects.responses.objects import ResponseUsage
from codex_proxy.job import Job
from codex_proxy.lifecycle.claims import Held
from codex_proxy.packing import pack
from codex_proxy.turns import TurnCompleted, Usage
from codex_proxy.web import errors, idempotency, responses_input
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.gates.bodies import Body
from codex_proxy.web.server import SERVER, Server, turn_headers, unix_now

_NO_TOKENS = Usage(0, 0, 0, 0)


async def create(request: web.Request) -> web.StreamResponse:
    """Run one turn and answer with the user messages and a compaction item."""
    server = request.app[SERVER]
    who, body = await server.admit_body(request)
    try:
        return await idempotency.once(request, who.owner, body, lambda held: _create(server, who, body, held))
    finally:
        if not body.queued:
            body.let_go()


async def _create(server: Server, who: Caller, body: Body, held: Held | None) -> web.StreamResponse:
    raw = await server.decoding.run(body.size, compaction.as_request, body.content)
    asked = await responses_input.decoded(server, who, raw)
    body.decoded()
    asked = await responses_input.with_history(server, who, asked, body.size)
    asked = asked.with_images(await server.images_of(asked.wish, who))
    name = uuid.uuid4().hex
    kept = compaction.kept(asked.given, name)
    turn = server.decide(asked.wish, who)  # a turn of its own: the conversation's thread is left alone
    job = await server.begin(await server.decoding.run(body.size, pack, turn), body, who, held)
    try:
        summary, usage = await _written(job)
    finally:
        server.jobs.abandon(job)
    output: tuple[CompactedMessage | CompactionItem, ...] = (*kept, compaction.item(summary, f"cmp_{name}"))
    compacted = CompactedResponse(f"resp_{name}", unix_now(), output, ResponseUsage.of(usage or _NO_TOKENS))
    answer = errors.json_response(msgspec.json.encode(compacted))
    answer.headers.update(turn_headers(turn, asked.ignored))
    return answer


async def _written(job: Job) -> tuple[str, Usage | None]:
    """Return the model's text and token usage. Raises the turn's failure, and UpstreamFailed without a whole text."""
    deltas = ChatDeltas(stop=(), max_tokens=None, show_reasoning=False, show_activity=False)
    text: list[str] = []
    while True:
        event = await job.next_event()
        if isinstance(event, TurnCompleted) and event.interrupted:
            raise compaction.without_summary("The turn was stopped before the summary was complete.")
        for delta in deltas.feed(event):
            match delta:
                case Content():
                    text.append(delta.text)
                case Failure():
                    raise objects.named(delta.error)
                case Finish():
                    if not "".join(text).strip():
                        raise compaction.without_summary()
                    return "".join(text), delta.usage
