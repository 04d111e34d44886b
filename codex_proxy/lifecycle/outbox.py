"""Outbox: writes that must reach the store, even if their request ends first or the store fails for a while.

Each write is tried at once, again shortly after, and then on every beat of the instance until the store accepts it.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable

from codex_proxy.errors import StorageFull, StoreUnavailable
from codex_proxy.store.base import UNREADABLE
from codex_proxy.tasks import see_out, spawn

_SECOND_TRY = 0.1  # seconds after the first; a short hiccup is over by then
_log = logging.getLogger(__name__)


class Outbox:
    """The pending writes of one instance. A write may be repeated after it succeeded, because the store's reply can get lost."""

    def __init__(self) -> None:
        self._writing: set[asyncio.Task[None]] = set()
        self._beat = asyncio.Event()

    @property
    def size(self) -> int:
        """The number of writes that the store has not accepted yet."""
        return len(self._writing)

    def put(self, what: str, write: Callable[[], Awaitable[object]], patience: float = math.inf) -> None:
        """Write in the background, retrying until it is done or `patience` seconds have passed."""
        task = spawn(f"write {what}", self._until_done(what, write, patience))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def beat(self) -> None:
        """Retry the pending writes: the store is answering."""
        self._beat.set()
        self._beat = asyncio.Event()

    async def close(self, patience: float) -> None:
        """Retry all pending writes, and give up those not done within `patience` seconds."""
        self.beat()
        if self._writing:
            await asyncio.wait(self._writing, timeout=patience)
        for task in list(self._writing):
            await see_out(task)

    async def _until_done(self, what: str, write: Callable[[], Awaitable[object]], patience: float) -> None:
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + patience
        tries = 0
        while tries == 0 or clock() < give_up_at:
            beat = self._beat
            try:
                await write()
            except (StorageFull, StoreUnavailable) as error:
                if tries == 1:
                    _log.warning("could not write %s, trying again: %s %s", what, error, error.detail)
            except UNREADABLE:  # what is given up here would read as running for ever
                if tries == 1:
                    _log.exception("could not write %s, trying again", what)
            else:
                return
            tries += 1
            if tries == 1:
                await asyncio.sleep(_SECOND_TRY)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if patience == math.inf else give_up_at - clock()):
                    await beat.wait()
        _log.warning("%s was never written", what)
