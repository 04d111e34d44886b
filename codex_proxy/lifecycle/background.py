"""Backgrounds: responses that are generated whether or not a client is listening, and followers that read them from the store.

Followers read events from the store, so they can follow from another instance, start late, or resume where they were cut off.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import NoReturn

import msgspec

from codex_proxy.dialects.responses.events import Completed, Failed, Incomplete, StreamEvent, TextDelta
from codex_proxy.errors import RecordEnded, ResponseNotFound, StorageFull, StoreUnavailable
from codex_proxy.lifecycle.run import Run
from codex_proxy.store.base import UNREADABLE, Record, Store, StoredEvent
from codex_proxy.tasks import see_out, spawn

_log = logging.getLogger(__name__)

_GATHERED_FOR = 0.05  # seconds, at most
_GATHERED_MORE = 0.005  # seconds, added with each write, so that the first text is not delayed
_BEFORE_TEXT = 0.03  # seconds, before the first text: earlier events are written together with it and must not delay it
_CANCEL_CHECKED_EVERY = 0.3  # seconds, at least, between two reads of the store
_CANCEL_WAIT = 1.0  # seconds; then the record is read whether it has changed or not
_CANCEL_TIMEOUT = 30.0  # seconds; then the response is returned as it is
_FOLLOW_WAIT = 15.0  # seconds; then the record is read again
_TERMINAL = frozenset(str(kind.__struct_config__.tag) for kind in (Completed, Failed, Incomplete))
_PAUSE = 0.5  # seconds after a store failure; the job's channel is bounded, so in the end the CLI waits
FOLLOW_PATIENCE = 20.0  # seconds that a follower waits for a failing store


class _Content(msgspec.Struct):
    """Any JSON object."""


class Backgrounds:
    """The background responses of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """The number of background responses that have not ended."""
        return len(self._tasks)

    def start(self, run: Run) -> None:
        """Start generating a response whose record exists and whose turn is queued."""
        run.first()
        task = spawn(f"background {run.id}", self._make(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def over(self) -> None:
        """Wait until all have ended; by then their jobs have ended too."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _make(self, run: Run) -> None:
        watching = spawn(f"cancel of {run.id}", self._stop_when_wanted(run))
        try:
            await _keep(run)
            writes = 0  # since the first text
            while not run.state.ended:
                seconds = min(_GATHERED_FOR, writes * _GATHERED_MORE) if writes else _BEFORE_TEXT
                has_text = await _gather(run, seconds, for_text=not writes)
                writes += has_text or writes > 0
                if not run.state.ended:  # the run itself writes the end
                    await _keep(run)
        except RecordEnded:  # by an instance that took this one for dead; its end stands
            _log.warning("background response %s was ended by another instance", run.id)
        finally:
            await see_out(watching)
            run.leave()

    async def _stop_when_wanted(self, run: Run) -> None:
        """Stop the run once it is cancelled, on any instance, or its record is deleted."""
        while True:
            with contextlib.suppress(StorageFull, StoreUnavailable, *UNREADABLE):  # retried in the next round
                record = await self._store.get(run.owner, run.id)
                if record is None or record.cancel_wanted:
                    return run.stop("it was cancelled" if record else "it was deleted")
                await self._store.changed(run.id, _CANCEL_WAIT)
            await asyncio.sleep(_CANCEL_CHECKED_EVERY)


async def _gather(run: Run, seconds: float, *, for_text: bool) -> bool:
    """Wait for the next events, and gather those that follow shortly after: one write per token would be too many.

    With `for_text`, the first text ends the gathering. Returns True if there was text.
    """
    has_text = _has_text(await run.next())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (run.state.ended or (for_text and has_text)):
                has_text |= _has_text(await run.next())
    return has_text


def _has_text(found: list[StreamEvent]) -> bool:
    return any(isinstance(event, TextDelta) for event in found)


async def _keep(run: Run) -> None:
    """Try to store what there is; whatever the store rejects is part of the next try."""
    try:
        await run.keep()
    except (StorageFull, StoreUnavailable) as error:
        _log.warning("the events of %s have to wait: %s %s", run.id, error, error.detail)
        await asyncio.sleep(_PAUSE)
    except UNREADABLE:  # the response itself is well
        _log.exception("the events of %s have to wait", run.id)
        await asyncio.sleep(_PAUSE)


async def follow(store: Store, owner: str, response_id: str, after: int) -> AsyncGenerator[StoredEvent]:
    """Yield the events of a background response after number `after`, each once and in order, up to its end.

    Raises ResponseNotFound if the record disappears before then, and StoreUnavailable if the store fails for too long, or has lost
    or damaged events.
    """
    ended: Record | None = None  # as read before the last events were
    while True:
        events, record, whole = await _read_on(store, owner, response_id, after, ended)
        if events:
            ends = events[-1].type in _TERMINAL
            events.reverse()
            while events:
                after = _checked(response_id, events[-1], after + 1)
                yield events.pop()  # its reader may take long: it alone holds the event
            if ends:
                return  # regardless of what has become of the record
            continue
        if record is None:
            _gone(response_id)
        if whole:
            return
        if record is ended:
            raise _lost()
        if not record.running:
            ended = record
            continue
        with contextlib.suppress(StorageFull, StoreUnavailable):
            await store.changed(response_id, _FOLLOW_WAIT)


async def _read_on(
    store: Store, owner: str, response_id: str, after: int, ended: Record | None
) -> tuple[list[StoredEvent], Record | None, bool]:
    """The next events; if there are none, the record, `ended` once that is known, and whether all its events have been read.

    Waits for a store that fails, but not for too long.
    """
    failing_since: float | None = None
    clock = asyncio.get_running_loop().time
    while True:
        try:
            if events := await store.events(owner, response_id, after):
                return events, None, False
            if ended is None:
                return [], await store.get(owner, response_id), False
            return [], ended, await _is_whole(store, ended, after)
        except (StorageFull, StoreUnavailable):
            failing_since = failing_since or clock()
            if clock() - failing_since > FOLLOW_PATIENCE:
                raise
        except UNREADABLE as error:
            raise _damaged(response_id, error) from error
        await asyncio.sleep(_PAUSE)


async def _is_whole(store: Store, record: Record, after: int) -> bool:
    """Return whether an ended response has no events after this number, and has a last one: not so if its body was damaged."""
    number = record.last_event if record.last_event >= 0 else after  # an earlier version's record does not have it
    last = await store.events(record.owner, record.id, number - 1)
    return after >= record.last_event and last != [] and last[-1].type in _TERMINAL


def _checked(response_id: str, event: StoredEvent, number: int) -> int:
    """Return the number of an event. Raises StoreUnavailable if it is not this one, or is no JSON text."""
    if event.number != number:
        raise _lost()
    try:
        msgspec.json.decode(event.content.decode(), type=_Content)
    except UNREADABLE as error:
        raise _damaged(response_id, error) from error
    return number


def _lost() -> StoreUnavailable:
    return StoreUnavailable("The store has lost some events of this response. Retrieve the response itself instead.")


def _damaged(response_id: str, error: Exception) -> StoreUnavailable:
    _log.error("what is stored of the events of %s is damaged: %s", response_id, error)
    problem = "What is stored of the events of this response is damaged. Retrieve the response itself instead."
    return StoreUnavailable(problem, detail=f"{response_id}: {error}")


async def cancelled(store: Store, owner: str, record: Record) -> Record:
    """Cancel a running response and return its record once it has ended. Raises ResponseNotFound if it is deleted meanwhile."""
    if record.running and not await store.want_cancel(owner, record.id):  # it has ended since it was read
        return await store.get(owner, record.id) or _gone(record.id)
    if record.running:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                while record.running:
                    try:
                        await store.changed(record.id, _CANCEL_WAIT)
                        record = await store.get(owner, record.id) or _gone(record.id)
                    except (StorageFull, StoreUnavailable):
                        await asyncio.sleep(_PAUSE)
    return record


def _gone(response_id: str) -> NoReturn:
    raise ResponseNotFound(f"The response {response_id} no longer exists: it was deleted, or has expired.")
