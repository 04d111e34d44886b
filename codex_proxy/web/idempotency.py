"""Idempotency-Key: the same key and body give the same answer for a day, without a second turn; another body gets 409.

A refusal that came before the turn began frees the key again, because nothing was done. A client that leaves its own
request breaks the turn off: then a repetition is told so, and is not run.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from codex_proxy.errors import IdempotencyConflict, InvalidRequest, ProxyError
from codex_proxy.web import errors, sse
from codex_proxy.web.server import SERVER

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_FOR = 24 * 3600.0  # seconds
_LOOKED_EVERY = 0.5  # seconds, while the first request with this key still runs
_LARGEST = 16 * 1024 * 1024  # bytes of an answer that are kept


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer to give again: its status, and its body or, of a stream, its frames (event or None, data)."""

    status: int
    body: str = ""
    frames: tuple[tuple[str | None, str], ...] = ()


async def once(
    request: web.Request, owner: str, raw: bytes, run: Callable[[], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer by `run`, or by what it answered the first time."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return await run()
    if not _KEY.fullmatch(given):
        raise InvalidRequest("An Idempotency-Key is 1 to 255 printable ASCII characters.", param="Idempotency-Key")
    key = hashlib.sha256(f"{owner}\n{request.path}\n{given}".encode()).hexdigest()
    kept = await _first_answer(request, key, hashlib.sha256(raw).hexdigest())
    if kept is not None:
        return await _again(request, kept)
    return await _keep(request, key, run)


async def _first_answer(request: web.Request, key: str, fingerprint: str) -> KeptAnswer | None:
    """What the first request with this key was answered, waiting for it; None: this is the first one."""
    server = request.app[SERVER]
    try:
        async with asyncio.timeout(server.settings.queue_timeout + server.settings.turn_timeout):
            while (claim := await server.store.claim(key, fingerprint, _KEPT_FOR)) is not None:
                if claim.fingerprint != fingerprint:
                    raise IdempotencyConflict("This Idempotency-Key came with another request before.", param="Idempotency-Key")
                if claim.answer is not None:
                    return msgspec.json.decode(claim.answer, type=KeptAnswer)
                await server.store.changed(key, _LOOKED_EVERY)
    except TimeoutError:  # its server died, say: nobody knows how far it came
        raise IdempotencyConflict("The first request with this Idempotency-Key left no answer; it is not run again.") from None
    return None


async def _keep(request: web.Request, key: str, run: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    server = request.app[SERVER]
    frames: list[tuple[str | None, str]] = []
    request[sse.FRAMES] = frames
    kept: KeptAnswer | None = _broken_off()
    try:
        answer = await run()
        body = answer.text or "" if isinstance(answer, web.Response) else ""
        kept = KeptAnswer(answer.status, body, tuple(frames))
        return answer
    except ProxyError as error:
        refused = errors.response(error)
        kept = KeptAnswer(refused.status, refused.text or "") if error.begun else None
        raise
    finally:
        if kept is None:
            server.do_soon("free an idempotency key", server.store.release(key))
        else:
            content = msgspec.json.encode(kept)
            content = content if len(content) <= _LARGEST else msgspec.json.encode(_too_large())
            server.do_soon("keep an answer", server.store.answer(key, content))


async def _again(request: web.Request, kept: KeptAnswer) -> web.StreamResponse:
    if not kept.frames:
        return errors.json_response(kept.body.encode(), kept.status)
    async with await sse.opened(request, {}) as stream:
        for event, content in kept.frames:
            await stream.send(content, event=event)
        return stream


def _broken_off() -> KeptAnswer:
    error = IdempotencyConflict("The first request with this Idempotency-Key was broken off by its client; it is not run again.")
    return KeptAnswer(409, errors.body(error).decode())


def _too_large() -> KeptAnswer:
    error = IdempotencyConflict("The answer to the first request with this Idempotency-Key was too large to be kept.")
    return KeptAnswer(409, errors.body(error).decode())
