"""ResponseRun: one response while it is made: its turn's job, its stream of events, its record in the store.

What is told as done is kept before it is told: the last event leaves only after the record that it speaks of is written.
"""

import asyncio
import uuid
from collections.abc import Sequence

import msgspec

from codex_proxy.dialects.final_only import FinalOnly
from codex_proxy.dialects.responses import stored as responses_stored
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.objects import Response, Status
from codex_proxy.dialects.responses.request import ResponsesRequest
from codex_proxy.dialects.responses.stream import ResponsesStream
from codex_proxy.jobs import Job
from codex_proxy.store.keeper import Change, Record, StoredEvent, StoredPart
from codex_proxy.tasks import spawn
from codex_proxy.web.server import Server, unix_now

_ENDED: tuple[Status, ...] = ("completed", "incomplete", "failed", "cancelled")


class ResponseRun:
    """For one reader. `owner` is whose key asked for it."""

    def __init__(self, server: Server, owner: str, asked: ResponsesRequest, job: Job) -> None:
        self.asked = asked
        self.job = job
        self.id = f"resp_{uuid.uuid4().hex}"
        self.begun = False  # there is a record
        self.cancelled = False
        self._server = server
        self._owner = owner
        self._created_at = unix_now()
        self._beginning: asyncio.Task[None] | None = None
        self._kept = False  # the record says how it ended
        self._final_only = FinalOnly() if asked.json and job.turn.mode == "agent" else None
        self._ready: list[StreamEvent] = []
        self._written: Response | None = None  # what the record has as its body
        self._recorded = 0  # items of the conversation that the record has
        self.stream = ResponsesStream(
            asked.blank_response(self.id, self._created_at, job.turn),
            freeform_tools=frozenset((tool.namespace, tool.name) for tool in job.turn.tools if tool.freeform),
            show_reasoning=job.turn.summary != "none",
            show_encrypted=asked.show_encrypted,
            show_activity=asked.show_activity,
        )

    @property
    def ended(self) -> bool:
        return self.stream.response.status in _ENDED

    async def next(self) -> list[StreamEvent]:
        """What comes next, at least one event; the last ones when `ended`. Cancelled while it waits, it loses nothing.

        Raises StorageFull and StoreUnavailable when the end cannot be kept.
        """
        while not self._ready:
            event = await self.job.next_event()
            if self.cancelled and self.job.read:
                self._ready.append(self.stream.cancel(unix_now()))
                break
            events = self._final_only.feed(event) if self._final_only else [event]
            self._ready += [told for event in events for told in self.stream.feed(event, unix_now())]
            if self.stream.enough:
                self.job.interrupt()
            await self.keep_beginning()  # while the model thinks
        await self.keep_beginning()
        if self.ended and not self.asked.background:
            await self.keep_end()
        ready, self._ready = self._ready, []
        return ready

    async def keep_beginning(self) -> None:
        """Make the record, once, however often this is cancelled. Raises StorageFull and StoreUnavailable."""
        if self.asked.store and not self.begun:
            if self._beginning is None:
                self._beginning = spawn(f"keep the beginning of {self.id}", self._create())
            await asyncio.shield(self._beginning)
            self.begun = True

    async def keep(self, events: Sequence[StreamEvent]) -> None:
        """Bring the record up to date, with the events that may be asked for again."""
        await self._update([_stored(event) for event in events])
        self._kept = self._kept or self.ended

    async def keep_end(self) -> None:
        """Write how it ended, once."""
        if self.asked.store and not self._kept:
            await self._update()
            self._kept = True

    async def changed(self) -> None:
        """Wait until somebody changes the record, or a second."""
        await self._server.store.changed(self.id, 1.0)

    def leave(self) -> None:
        """The reader is done with it, or has left: then the turn is interrupted and the record says so."""
        self._server.abandon(self.job)
        if self._beginning is not None and not self._kept:
            if not self.ended:
                self.stream.cancel(unix_now())
            self._server.do_soon(f"keep the end of {self.id}", self._keep_late_end())

    async def _keep_late_end(self) -> None:
        await self.keep_beginning()
        await self.keep_end()

    async def cancel(self) -> None:
        """Stop the turn; its end reads cancelled."""
        self.cancelled = True
        self._server.stop(self.job)

    async def cancel_wanted(self) -> bool:
        """Whether somebody has asked for that, on whatever instance; also when the record is gone."""
        record = await self._server.store.get(self._owner, self.id)
        return record is None or record.cancel_wanted

    async def _create(self) -> None:
        self._written, status = self.stream.response, self.stream.response.status
        body = msgspec.json.encode(self.stream.response)
        record = Record(
            id=self.id, owner=self._owner, created_at=self._created_at, status=status, body=body, holder=self._server.holder
        )
        items = responses_stored.input_items(self.asked.asked.input, self.id)
        await self._server.store.create(record, items, responses_stored.encode_conversation(self.asked.conversation(())))

    async def _update(self, events: Sequence[StoredEvent] = ()) -> None:
        response, recorded = self.stream.response, len(self.stream.recorded)
        body = None if response is self._written else msgspec.json.encode(response)
        items = self.stream.recorded[self._recorded : recorded]
        parts = [StoredPart(self._recorded, responses_stored.encode_conversation(items))] if items else []
        await self._server.store.update(Change(id=self.id, status=response.status, body=body, parts=parts, events=events))
        self._written, self._recorded = response, recorded


def _stored(event: StreamEvent) -> StoredEvent:
    return StoredEvent(event.sequence_number, str(type(event).__struct_config__.tag), msgspec.json.encode(event))
