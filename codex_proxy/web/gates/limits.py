"""Limits on callers: requests per minute, and the time that one request may take."""

import asyncio
import logging
import math
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from codex_proxy.errors import RateLimited, StorageFull, StoreUnavailable
from codex_proxy.store.base import Store
from codex_proxy.store.rates import Hit, Rates
from codex_proxy.web import answers

BESIDE_THE_TURN = 120.0  # seconds: at most 30 each for the body and for images; the rest is for events that wait for a slow reader
_WINDOW = 60.0  # seconds
_SHARED_TIMEOUT = 1.0  # seconds that a request waits for the shared count; then this instance counts alone
_ALONE_FOR = 5.0  # seconds until a request tries the shared count again
_HEADERS = web.RequestKey("rate_headers", dict[str, str])
_log = logging.getLogger(__name__)


class RateLimit:
    """Allows each caller `per_minute` requests in any minute, unless it has its own rate; 0 = no limit.

    Instances that share a store count together. While the store does not answer, each counts only its own requests; `alone` is how
    often that has happened.
    """

    def __init__(self, per_minute: int, store: Store) -> None:
        self.alone = 0
        self._per_minute = per_minute
        self._store = store
        self._own = Rates(_WINDOW)
        self._away = False
        self._tried_at = -math.inf  # monotonic seconds, while the store is away

    def of(self, per_minute: int | None) -> int:
        """Return the rate of a caller whose own rate is this; None if it has none."""
        return self._per_minute if per_minute is None else per_minute

    async def count(self, request: web.Request, caller: str, per_minute: int | None = None) -> None:
        """Count one request. Raises RateLimited, with the seconds until the next is allowed."""
        amount = self.of(per_minute)
        if not amount:
            return
        hit = await self._shared(caller, amount)
        if hit is None:
            hit = self._own.hit(caller, amount)
        elif hit.granted:  # a limit reached stays reached if the store goes away
            self._own.note(caller)
        request[_HEADERS] = {
            "x-ratelimit-limit-requests": str(amount),
            "x-ratelimit-remaining-requests": str(hit.remaining),
            "x-ratelimit-reset-requests": f"{hit.reset:.0f}s",
        }
        if not hit.granted:
            whose = "RATE_LIMIT_PER_MINUTE" if per_minute is None else "of this key"
            raise RateLimited(f"Rate limit reached: {amount} requests a minute ({whose}).", retry_after=max(hit.reset, 1.0))

    async def _shared(self, caller: str, amount: int) -> Hit | None:
        """Return the shared count; None if there is none or it is unavailable."""
        if self._away and time.monotonic() < self._tried_at + _ALONE_FOR:
            self.alone += 1
            return None
        self._tried_at = time.monotonic()
        try:
            async with asyncio.timeout(_SHARED_TIMEOUT):
                hit = await self._store.hit(caller, amount, _WINDOW)
        except (StorageFull, StoreUnavailable, TimeoutError) as error:
            self.alone += 1
            self._tried_at = time.monotonic()
            if not self._away:
                _log.warning(
                    "the store does not answer (%s): this instance counts requests on its own", error or "no answer in time"
                )
            self._away = True
            return None
        if self._away:
            _log.warning("the store counts requests again")
        self._away = False
        return hit


def deadline(limit: float, but_for: Handler | None = None) -> Middleware:
    """Return a middleware that cuts off requests not fully answered after `limit` seconds, except those of one handler.

    The time runs from the request's head to the last byte: queue, turn, and the remaining writes. A client that reads a little
    every now and then never stalls a single write, so no other bound stops it.
    """

    @web.middleware
    async def cut_off_late(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.handler is but_for:
            return await handler(request)
        try:
            async with asyncio.timeout(limit) as bound:
                answer = await handler(request)
                return await answers.written(request, answer) if answers.in_pieces(answer) else answer
        except TimeoutError as error:
            if not bound.expired():
                raise
            _log.info("%s %s was cut off: its client was still reading after %g s", request.method, request.path, limit)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionAbortedError from error

    return cut_off_late


async def show_rate(request: web.Request, response: web.StreamResponse) -> None:
    """Add the caller's rate, in OpenAI's headers, when a response is prepared."""
    response.headers.update(request.get(_HEADERS, {}))


async def not_yet(_: web.Request) -> None:
    """Ignore an Expect header before the gates: `Bodies.read` tells the client to continue."""
