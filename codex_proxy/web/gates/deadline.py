"""The deadline of a request, from its head to its last byte: queue, turn, and what is left to write after it.

A reader who takes a little every now and then stalls no single write, and so meets no other bound.
"""

import asyncio
import logging

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_log = logging.getLogger(__name__)

BESIDE_THE_TURN = 120.0  # seconds: at most 30 for the body, 30 for images; the rest is for the events that wait for a slow reader


def bound(limit: float, but_for: Handler | None = None) -> Middleware:
    """The middleware that cuts off clients still being answered after `limit` seconds, but for those of one handler."""

    @web.middleware
    async def cut_off_late(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.handler is but_for:
            return await handler(request)
        try:
            async with asyncio.timeout(limit) as deadline:
                return await handler(request)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            _log.info("%s %s was cut off: its client was still reading after %g s", request.method, request.path, limit)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionAbortedError from error

    return cut_off_late
