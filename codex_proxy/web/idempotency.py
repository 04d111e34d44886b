"""Idempotency-Key on HTTP: the first answer is stored with its claim, and replayed to repetitions."""

import hashlib
from collections.abc import Awaitable, Callable

from aiohttp import web

from codex_proxy.errors import IdempotencyConflict, ProxyError
from codex_proxy.lifecycle.claims import LARGEST, TOO_LARGE, Held, KeptAnswer
from codex_proxy.web import errors, sse
from codex_proxy.web.gates.bodies import Body
from codex_proxy.web.server import SERVER

_KEPT_HEADERS = ("x-codex-sandbox", "x-codex-effort", "x-codex-ui-task", "x-codex-ignored", "x-should-retry", "Retry-After")


async def once(
    request: web.Request,
    owner: str,
    body: Body,
    run: Callable[[Held | None], Awaitable[web.StreamResponse]],
    follow: Callable[[KeptAnswer], Awaitable[web.StreamResponse]] | None = None,
) -> web.StreamResponse:
    """Answer with `run`, or replay its first answer; with `follow` if that answer is in the record of a response."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return await run(None)
    server = request.app[SERVER]
    fingerprint = await server.decoding.run(len(body.content), _fingerprint, body)
    found = await server.claims.enter(owner, request.path, given, fingerprint)
    if isinstance(found, Held):
        return await _first(request, found, run)
    return await _again(request, found) if found.follows is None or follow is None else await follow(found)


def _fingerprint(body: Body) -> str:
    return hashlib.sha256(body.content).hexdigest()


async def _first(
    request: web.Request, held: Held, run: Callable[[Held | None], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    frames = request[sse.FRAMES] = sse.Frames(LARGEST)
    try:
        answer = await run(held)
        body = answer.text or "" if isinstance(answer, web.Response) else ""
        refused = TOO_LARGE if frames.too_large else None
        held.answer(KeptAnswer(answer.status, _headers(answer), body, frames.whole(), refused=refused))
        return answer
    except ProxyError as error:
        if isinstance(error, IdempotencyConflict) or not error.begun:
            held.free()
        else:
            told = errors.response(error)
            held.answer(KeptAnswer(told.status, _headers(told), told.text or ""))
        raise
    finally:
        held.close()


async def _again(request: web.Request, kept: KeptAnswer) -> web.StreamResponse:
    if not kept.frames:
        answer = errors.json_response(kept.body.encode(), kept.status)
        answer.headers.update(kept.headers)
        return answer
    async with await sse.opened(request, kept.headers) as stream:
        for event, content in kept.frames:
            await stream.send(content, event=event)
        return stream


def _headers(answer: web.StreamResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
