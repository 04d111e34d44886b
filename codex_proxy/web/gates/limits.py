"""How often a caller may ask: requests a minute; and how long one request may take."""

import asyncio
import logging
import math
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from codex_proxy.errors import RateLimited, StorageFull, StoreUnavailable
from codex_proxy.store.base import Store
from codex_proxy.store.rates import Hit, Rates

BESIDE_THE_TURN = 120.0  # seconds: at most 30 for the body, 30 for images; the rest is for the events that wait for a slow reader
_WINDOW = 60.0  # seconds
_SHARED_TIMEOUT = 1.0  # seconds that a request waits for the count of all instances; then this one counts alone
_ALONE_FOR = 5.0  # seconds until one request tries the common count again
_HEADERS = web.RequestKey("rate_headers", dict[str, str])
_log = logging.getLogger(__name__)


class RateLimit:
    """At most `per_minute` requests in any minute for each caller without a rate of his own; 0 = no limit.

    Counted for all instances where they share a store. While that does not answer, each counts what it sees itself:
    `alone` is how often that has happened.
    """

    def __init__(self, per_minute: int, store: Store) -> None:
        self.alone = 0
        self._per_minute = per_minute
        self._store = store
        self._own = Rates(_WINDOW)
        self._away = False
        self._tried_at = -math.inf  # monotonic seconds, while it is away

    def of(self, per_minute: int | None) -> int:
        """The rate of a caller with this one of its own; None: with none."""
        return self._per_minute if per_minute is None else per_minute

    async def count(self, request: web.Request, caller: str, per_minute: int | None = None) -> None:
        """Count one request. Raises RateLimited, with the seconds until one is free again."""
        amount = self.of(per_minute)
        if not amount:
            return
        hit = await self._shared(caller, amount)
        if hit is None:
            hit = self._own.hit(caller, amount)
        elif hit.granted:  # so that a limit that was reached stays so when the store goes away
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
        """The count of all instances; None where there is none, or none to be had."""
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
    """The middleware that cuts off clients still being answered after `limit` seconds, but for those of one handler.

    From the head of the request to its last byte: queue, turn, and what is left to write after it. A reader who takes a
    little every now and then stalls no single write, and so meets no other bound.
    """

    @web.middleware
    async def cut_off_late(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.handler is but_for:
            return await handler(request)
        try:
            async with asyncio.timeout(limit) as bound:
                return await handler(request)
        except TimeoutError as error:
            if not bound.expired():
                raise
            _log.info("%s %s was cut off: its client was still reading after %g s", request.method, request.path, limit)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionAbortedError from error

    return cut_off_late


async def show_rate(request: web.Request, response: web.StreamResponse) -> None:
    """On preparing a response: the caller's rate, in OpenAI's headers."""
    response.headers.update(request.get(_HEADERS, {}))


async def not_yet(_: web.Request) -> None:
    """What becomes of an Expect header before any gate: nothing. `Bodies.read` tells the client to go on."""
