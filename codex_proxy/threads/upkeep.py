"""Close the threads of conversations that nobody continues, and remove what they left on disk."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from codex_proxy.codex import sessions
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.errors import WorkerFailed
from codex_proxy.tasks import see_out, spawn
from codex_proxy.threads.index import Threads

_log = logging.getLogger(__name__)

_EVERY = 60.0  # seconds
_ROUNDS = 10  # until the rollouts are looked through again
_LEAST_AGE = 3600.0  # seconds; a younger one may be that of another server on this home that keeps conversations for longer


@asynccontextmanager
async def kept_up(threads: Threads, loaded: OpenThreads, home: Path, lifetime: float) -> AsyncIterator[None]:
    """Clean up conversations in the background until the block ends. `lifetime`: seconds since a conversation's latest turn."""
    task = spawn("look after conversations", _look_after(threads, loaded, home, lifetime))
    try:
        yield
    finally:
        await see_out(task)


async def _look_after(threads: Threads, loaded: OpenThreads, home: Path, lifetime: float) -> None:
    for number in itertools.count():
        if number % _ROUNDS == 0:
            await asyncio.to_thread(sessions.remove_left, home, max(lifetime, _LEAST_AGE), loaded.paths)
        await asyncio.sleep(_EVERY)
        threads.forget_old()
        try:
            await loaded.close_old(lifetime)
        except WorkerFailed as error:  # if its process is gone, so are its threads
            _log.info("a thread could not be closed: %s %s", error, error.detail)
