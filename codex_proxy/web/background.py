"""Backgrounds: responses that are made whether anybody listens or not, and following one, live or from the store.

What a follower sees comes from the store, so it may follow on another instance, late, or again from where it was cut.
"""

import asyncio
import contextlib
import logging

from aiohttp import web

from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.errors import ProxyError
from codex_proxy.store.keeper import RUNNING
from codex_proxy.tasks import see_out, spawn
from codex_proxy.web import sse
from codex_proxy.web.response_run import ResponseRun
from codex_proxy.web.server import Server

_log = logging.getLogger(__name__)

_GATHERED_FOR = 0.05  # seconds
_CANCEL_CHECKED_EVERY = 0.3  # seconds at the least between two looks into the store
_FOLLOW_WAIT = 15.0  # seconds; then the record is looked at whether it has changed or not


class Backgrounds:
    """The responses that this instance makes in the background."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._tasks)

    def start(self, run: ResponseRun) -> None:
        """Make a response whose record is there already."""
        task = spawn(f"background {run.id}", _make(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def over(self) -> None:
        """Wait until all have ended; their jobs have, by then."""
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _make(run: ResponseRun) -> None:
    watching = spawn(f"cancel of {run.id}", _cancel_when_wanted(run))
    try:
        await run.keep(run.stream.first())
        while not run.ended:
            await run.keep(await _some(run))
    except ProxyError as error:  # the store does not keep it: nobody could ever read it
        _log.error("background response %s is given up: %s %s", run.id, error, error.detail)
    finally:
        await see_out(watching)
        run.leave()


async def _some(run: ResponseRun) -> list[StreamEvent]:
    """What comes next, and what comes within a moment after it: a write for each token would be too many."""
    events = await run.next()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GATHERED_FOR):
            while not run.ended:
                events += await run.next()
    return events


async def _cancel_when_wanted(run: ResponseRun) -> None:
    while not await run.cancel_wanted():
        await run.changed()
        await asyncio.sleep(_CANCEL_CHECKED_EVERY)
    await run.cancel()


BACKGROUNDS = web.AppKey("backgrounds", Backgrounds)


async def follow(
    request: web.Request, server: Server, owner: str, response_id: str, after: int, headers: dict[str, str]
) -> web.StreamResponse:
    """Stream the events of a background response after number `after`, up to its end."""
    async with await sse.opened(request, headers) as stream:
        while True:
            record = await server.store.get(owner, response_id)
            events = await server.store.events(owner, response_id, after)
            for event in events:
                await stream.send(event.content.decode(), event=event.type)
                after = event.number
            if events:
                continue
            if record is None or record.status not in RUNNING:
                return stream
            await server.store.changed(response_id, _FOLLOW_WAIT)
