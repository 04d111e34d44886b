"""An HTTP client session for tests that closes every response: aiohttp warns, some time later, of one that nobody read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp


@asynccontextmanager
async def http_session(**options: Any) -> AsyncIterator[aiohttp.ClientSession]:  # Any: ClientSession's own
    """A session whose responses are all closed with it."""
    responses: list[aiohttp.ClientResponse] = []

    async def keep(_: aiohttp.ClientSession, __: SimpleNamespace, ended: aiohttp.TraceRequestEndParams) -> None:
        responses.append(ended.response)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(keep)
    async with aiohttp.ClientSession(trace_configs=[trace], **options) as session:
        try:
            yield session
        finally:
            for response in responses:
                response.close()
