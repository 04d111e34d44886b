"""The life of this instance in the store: its lease, the end of what dead instances held, the broom.

A response whose instance has died reads failed with the code server_restarted; it is never run a second time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from codex_proxy.dialects.responses import stored as responses_stored
from codex_proxy.errors import StorageFull, StoreUnavailable
from codex_proxy.store.keeper import Change, Record, StoredEvent
from codex_proxy.tasks import see_out, spawn
from codex_proxy.web.server import Server, unix_now

_log = logging.getLogger(__name__)

_LEASE = 15.0  # seconds that an instance may be silent before it counts as dead
_RENEWED_EVERY = 4.0
_SWEPT_EVERY = 15  # renewals
_CODE, _MESSAGE = "server_restarted", "The server was restarted while it made this response."


@asynccontextmanager
async def alive(server: Server) -> AsyncIterator[None]:
    """Live in the store until the block ends."""
    await _renew(server)
    heart = spawn("lease in the store", _beat(server))
    try:
        yield
    finally:
        await see_out(heart)


async def _beat(server: Server) -> None:
    beats = 0
    while True:
        await asyncio.sleep(_RENEWED_EVERY)
        beats += 1
        try:
            await _renew(server)
            if beats % _SWEPT_EVERY == 0:
                await server.store.sweep(unix_now())
        except (StorageFull, StoreUnavailable) as error:
            _log.warning("the store: %s %s", error, error.detail)


async def _renew(server: Server) -> None:
    await server.store.renew(server.holder, _LEASE)
    for orphan in await server.store.orphans():
        await _fail(server, orphan)


async def _fail(server: Server, orphan: Record) -> None:
    body = responses_stored.ended_body(orphan.body, "failed", _CODE, _MESSAGE)
    number = orphan.last_event + 1
    event = StoredEvent(number, "response.failed", responses_stored.failed_event(body, number))
    await server.store.update(Change(id=orphan.id, status="failed", body=body, events=[event]))
    _log.warning("response %s was being made when its server ended: it reads failed", orphan.id)
