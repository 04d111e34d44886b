"""How much a caller may ask: requests a minute, and the size and kind of a body."""

import asyncio
import time

from aiohttp import web
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from codex_proxy.errors import BodyTooLarge, InvalidRequest, RateLimited, RequestTimeout, StoreUnavailable, UnsupportedMediaType

_REDIS = ("redis://", "rediss://")
_RETRY_AFTER = 5.0  # seconds
_BODY_TIMEOUT = 30.0  # seconds
_HEADERS = web.RequestKey("rate_headers", dict[str, str])


class RateLimit:
    """At most `per_minute` requests in any minute for each caller without a rate of his own; 0 = no limit.

    Counted in Redis where the store is.
    """

    def __init__(self, per_minute: int, store: str) -> None:
        self._per_minute = per_minute
        shared = store.startswith(_REDIS)
        self._limiter = MovingWindowRateLimiter(
            storage_from_string(f"async+{store}", implementation="redispy", wrap_exceptions=True) if shared else MemoryStorage()
        )

    async def count(self, request: web.Request, caller: str, per_minute: int | None = None) -> None:
        """Count one request. Raises RateLimited, with the seconds until one is free again."""
        amount = self._per_minute if per_minute is None else per_minute
        if not amount:
            return
        item = RateLimitItemPerMinute(amount)
        try:
            granted = await self._limiter.hit(item, caller)
            reset_at, remaining = await self._limiter.get_window_stats(item, caller)
        except StorageError as error:
            raise StoreUnavailable("The store of rate limits does not work.", retry_after=_RETRY_AFTER) from error
        reset = max(0.0, reset_at - time.time())
        request[_HEADERS] = {
            "x-ratelimit-limit-requests": str(amount),
            "x-ratelimit-remaining-requests": str(remaining),
            "x-ratelimit-reset-requests": f"{reset:.0f}s",
        }
        if not granted:
            raise RateLimited(f"Rate limit reached: {amount} requests a minute.", retry_after=max(reset, 1.0))


async def show_rate(request: web.Request, response: web.StreamResponse) -> None:
    """On preparing a response: the caller's rate, in OpenAI's headers."""
    response.headers.update(request.get(_HEADERS, {}))


async def not_yet(_: web.Request) -> None:
    """What becomes of an Expect header before any gate: nothing. `read_json` tells the client to go on."""


async def read_json(request: web.Request, timeout: float = _BODY_TIMEOUT) -> bytes:
    """The bytes of a JSON body. Raises UnsupportedMediaType, BodyTooLarge, RequestTimeout, InvalidRequest."""
    if request.content_type != "application/json":
        raise UnsupportedMediaType("The body is to be JSON. Send the header: Content-Type: application/json")
    if (request.content_length or 0) > request.client_max_size:
        raise BodyTooLarge("The body is larger than this server takes.")  # before it is waited for
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        async with asyncio.timeout(timeout):
            return await request.read()
    except TimeoutError:
        raise RequestTimeout(f"The body did not come within {timeout:g} seconds.") from None
    except web.RequestPayloadError as error:
        raise InvalidRequest("The body is not what its headers say.") from error
