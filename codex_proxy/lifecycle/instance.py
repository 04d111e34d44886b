"""Instance: this server's presence in the store: its name there, its live runs, and its heartbeat.

Each beat renews the lease, makes the outbox retry, and fails the records of dead instances and those of its own that no live run
owns: a create that was answered too late, or not at all, may still have succeeded. A record failed this way is never run again.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from codex_proxy.dialects.responses import stored
from codex_proxy.errors import RecordEnded, StorageFull, StoreUnavailable
from codex_proxy.lifecycle.outbox import Outbox
from codex_proxy.store.base import UNREADABLE, Change, Claim, Record, Store, StoredEvent
from codex_proxy.tasks import see_out, spawn

_log = logging.getLogger(__name__)

LEASE = 15.0  # seconds of silence after which an instance counts as dead
BEAT = 4.0  # seconds
_SWEPT_EVERY = 15  # beats
_LAST_WRITES = 10.0  # seconds that shutdown waits for writes that the store has not accepted
_Reason = tuple[str, str]  # code, message
_RESTARTED = ("server_restarted", "The server was restarted while it was generating this response.")
_LOST = ("server_error", "The response store failed while this response was being generated.")


class Live(Protocol):
    """A run, as the instance sees it."""

    def stop(self, reason: str) -> None:
        """End the run's turn early."""


def new_holder(instance: str) -> str:
    """Return a name for one request of an instance, as the holder of a claim: `Claim.instance` reads the instance's name in it."""
    return f"{instance}.{uuid.uuid4().hex}"


async def may_live(store: Store, claim: Claim, instance: str) -> bool:
    """Return False if the holder of a claim has died with its instance; `instance` is the name of the one that asks."""
    return claim.instance in (None, instance) or await store.alive(str(claim.instance))


class Instance:
    """This server as a holder of records. `live` maps response ids to the runs in progress or whose end is not yet written."""

    def __init__(self, store: Store) -> None:
        self.name = uuid.uuid4().hex
        self.store = store
        self.outbox = Outbox()
        self.live: dict[str, Live] = {}
        self._unended = set[str]()  # records that could not be failed when last tried

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Keep the instance alive in the store until the block ends. Raises StoreUnavailable, StorageFull if it cannot begin."""
        await self._beat()
        heart = spawn("heart of the instance", self._beat_for_ever())
        try:
            yield
        finally:
            await self.outbox.close(_LAST_WRITES)
            await see_out(heart)
            with contextlib.suppress(StorageFull, StoreUnavailable, *UNREADABLE):  # left to the next instance
                await self._fail_each(await self._lost())

    def stop(self, response_id: str, reason: str) -> None:
        """End a run of this instance early; a no-op for an unknown id."""
        if (run := self.live.get(response_id)) is not None:
            run.stop(reason)

    async def _beat_for_ever(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(BEAT)
            beats += 1
            try:
                await self._beat()
                if beats % _SWEPT_EVERY == 0:
                    await self.store.sweep(int(time.time()))
            except (StorageFull, StoreUnavailable) as error:
                _log.warning("the store: %s %s", error, error.detail)
            except UNREADABLE:  # without its heart, the instance would soon be taken for dead
                _log.exception("the store gave an answer that cannot be read")

    async def _beat(self) -> None:
        await self.store.renew(self.name, LEASE)
        self.outbox.beat()
        orphans = [(record, _RESTARTED) for record in await self.store.orphans()]
        await self._fail_each([*orphans, *await self._lost()])

    async def _lost(self) -> list[tuple[Record, _Reason]]:
        """Return the records of this instance that no live run owns."""
        return [(record, _LOST) for record in await self.store.held(self.name) if record.id not in self.live]

    async def _fail_each(self, found: Sequence[tuple[Record, _Reason]]) -> None:
        """Fail records. One that cannot be failed stops no other, and comes last next time; a beat's time must suffice."""
        clock = asyncio.get_running_loop().time
        until = clock() + BEAT
        self._unended &= {record.id for record, _ in found}
        for record, reason in sorted(found, key=lambda one: one[0].id in self._unended):
            if clock() > until:
                break
            try:
                await self._fail(record, *reason)
            except (StorageFull, StoreUnavailable, *UNREADABLE):
                if record.id not in self._unended:
                    _log.warning("response %s could not be failed, trying again with every beat", record.id, exc_info=True)
                self._unended.add(record.id)
            else:
                self._unended.discard(record.id)

    async def _fail(self, record: Record, code: str, message: str) -> None:
        after, number = record.last_event, record.last_event + 1
        try:
            body = stored.ended_body(record.body, "failed", code, message)
            event = StoredEvent(number, "response.failed", stored.failed_event(body, number))
            change = Change(id=record.id, status="failed", after=after, body=body, events=(event,))
        except UNREADABLE:  # somebody has damaged its body: it ends as it is, so that it is not found again
            change = Change(id=record.id, status="failed")
        try:
            await self.store.update(change)
        except RecordEnded:  # meanwhile, or its holder lives
            return
        _log.warning("response %s reads failed: %s", record.id, code)
