"""Run: one response while it is made: its turn's job, its stream of events, its record in the store.

    queued -> running -> unwritten -> written        a state says why it is what it is
       `---------------------^                       left, cancelled or refused before Codex was told of the turn

There is one way out, `_end`: whatever ended it, the end goes to the outbox, and stays there until the store has it. What is
told as done is written before it is told.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from codex_proxy.dialects.answer_filter import AnswerFilter
from codex_proxy.dialects.responses import stored
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.replay import repeated
from codex_proxy.dialects.responses.request import ResponsesRequest
from codex_proxy.dialects.responses.stream import ResponsesStream
from codex_proxy.errors import ProxyError, RecordEnded, StoreUnavailable
from codex_proxy.history import History
from codex_proxy.job import Job
from codex_proxy.jobs import JobQueue
from codex_proxy.lifecycle.conversations import Part
from codex_proxy.lifecycle.instance import Instance
from codex_proxy.store.base import Change, Record, StoredEvent, StoredPart
from codex_proxy.turns import MessageCompleted, ReasoningCompleted, Turn, TurnCompleted, Usage, WorkCompleted

_WRITTEN_WITHIN = 8.0  # seconds that a reader waits for the end to be written: a beat, and a call of the store that hangs

_NO_TOKENS = Usage(0, 0, 0, 0)
_BOUNDARIES = (MessageCompleted, ReasoningCompleted)  # where a turn may end for what its client adds; and behind work

Remember = Callable[[Job, tuple[History, ...]], None]


class State(msgspec.Struct, frozen=True):
    """How far a run is. `unwritten` and `written`: it has ended, and whether its record says so."""

    phase: Literal["queued", "running", "unwritten", "written"]
    reason: str

    @property
    def ended(self) -> bool:
        return self.phase in ("unwritten", "written")


class Run:
    """For one reader, which is its request or, in the background, a task."""

    def __init__(
        self,
        instance: Instance,
        jobs: JobQueue,
        owner: str,
        asked: ResponsesRequest,
        turn: Turn,
        remember: Remember,
        part: Part | None = None,
    ) -> None:
        """`remember` is told of an answer before its reader has the last of it; `part`: in a conversation."""
        self.id = f"resp_{uuid.uuid4().hex}"
        self.owner = owner
        self.asked = asked
        self.turn = turn
        self.job: Job | None = None
        self.state = State("queued", "its turn waits for a worker")
        self.stream = ResponsesStream(
            asked.blank_response(self.id, _now(), turn),
            freeform_tools=frozenset((tool.namespace, tool.name) for tool in turn.tools if tool.freeform),
            show_reasoning=turn.summary != "none",
            show_encrypted=asked.show_encrypted or (not asked.store and turn.summary != "none"),
            show_activity=asked.show_activity,
            show_waiting=asked.stream,
        )
        self._instance = instance
        self._jobs = jobs
        self._remember = remember
        self._part = part
        self._filter = AnswerFilter(turn.mode, json=asked.json, optional=asked.form.optional)
        self._steered = self._behind_work = False
        self._stopped: str | None = None  # why somebody wants it to end early
        self._ready: list[StreamEvent] = []
        self._unkept: list[StoredEvent] = []  # events that the store does not have yet
        self._kept_items = 0  # recorded items that the store has
        self._written = asyncio.Event()
        self._lost: str | None = None  # how the record ended otherwise

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.state.phase}: {self.state.reason}>"

    @property
    def told(self) -> bool:
        """Whether it has ended and `next` has given its last events."""
        return self.state.ended and not self._ready

    @property
    def stored_id(self) -> str | None:
        """The id of its record, None when there is none."""
        return self.id if self.asked.store else None

    def given(self) -> tuple[bytes, bytes]:
        """The input and the conversation before the answer, as they are kept."""
        asked = self.asked
        return stored.input_items(asked.body.input, self.id), stored.encode_conversation(asked.conversation(()))

    async def create(self, given: bytes, conversation: bytes) -> None:
        """Make the record, before the turn begins. Raises StorageFull and StoreUnavailable."""
        if self.asked.store:
            self._instance.live[self.id] = self
            response = self.stream.response
            record = Record(
                id=self.id,
                owner=self.owner,
                created_at=response.created_at,
                status=response.status,
                body=msgspec.json.encode(response),
                holder=self._instance.name,
            )
            await self._instance.store.create(record, given, conversation)

    def forget_conversation(self, turn: Turn) -> None:
        """The record has it, and the turn that will be run; `turn` is that without it."""
        if self._part is not None and not self.asked.store:
            self._part.given = stored.input_items(self.asked.body.input, self.id)
        self.asked = self.asked.without_conversation()
        self.turn = turn

    def start(self, job: Job) -> None:
        """Its turn is on its way."""
        self.job = job

    def first(self) -> list[StreamEvent]:
        """The events before all others."""
        return self._noted(self.stream.first())

    async def next(self) -> list[StreamEvent]:
        """What comes next, at least one event; the last ones when it has ended. Cancelled while it waits, it loses nothing.

        Raises StoreUnavailable, as begun, when the end cannot be written in time: the outbox goes on trying.
        """
        if self.asked.prewarm and not self.state.ended:
            self._ready += self._noted(self.stream.feed(TurnCompleted(_NO_TOKENS), _now()))
            self._end("nothing was to be generated")
        while not self._ready:
            assert self.job is not None
            event = await self.job.next_event()
            if self._stopped and self.job.read:
                self._ready += self._noted([self.stream.cancel(_now())])
                self._end(self._stopped)
                break
            if self.state.phase == "queued" and self.job.begun:
                self.state = State("running", "Codex has been told of its turn")
            self._ready += self._noted([told for event in self._filter.feed(event) for told in self.stream.feed(event, _now())])
            if self._steered and (self._behind_work or isinstance(event, _BOUNDARIES)):
                self.stream.steered = True
            self._behind_work = isinstance(event, WorkCompleted)  # Codex has its output in the history with the next event
            if self.stream.enough or self.stream.steered:
                self.job.interrupt()
            if self.job.read:
                if self.stream.response.status == "completed" and not self.stream.enough:
                    self._remember(self.job, repeated(self.stream.response.output))
                self._end(f"its turn ended: {self.stream.response.status}")
        if self.state.ended and (self.asked.prewarm or not self.asked.background):
            await self._be_written()
        ready, self._ready = self._ready, []
        return ready

    async def keep(self) -> None:
        """Bring the record up to date, with the events that may be asked for again. What the store does not take is kept for later.

        Raises StorageFull, StoreUnavailable, and RecordEnded when somebody else has ended it.
        """
        events, items = self._unkept, len(self.stream.recorded)
        self._unkept = []
        try:
            await self._instance.store.update(self._change(events))
        except BaseException:
            self._unkept = events + self._unkept
            raise
        self._kept_items = items

    def stop(self, reason: str) -> None:
        """Somebody wants it to end early; its end still comes."""
        if self.job is not None and self._stopped is None:
            self._stopped = reason
            self._jobs.stop(self.job)

    def steer(self) -> None:
        """Its client has more to say: have the turn end as soon as what it is at is done."""
        self._steered = True

    def leave(self) -> None:
        """The reader is done with it, or has left: then the turn is interrupted, and the record says so."""
        if self.job is None:
            if not self.state.ended:
                self._drop()
        else:
            self._jobs.abandon(self.job)
            if not self.state.ended:
                self._noted([self.stream.cancel(_now())])
                self._end("its reader has left")

    def _drop(self) -> None:
        """Its turn was refused before it was submitted: nothing is left of it."""
        if self.asked.store:
            self._instance.outbox.put(f"the end of {self.id}", lambda: self._instance.store.delete(self.owner, self.id), 60.0)
        if self._part is not None:
            self._part.leave()
        self._over("its turn was refused")

    def _end(self, reason: str) -> None:
        """The way out."""
        if self.asked.store or self._part is not None:
            self.state = State("unwritten", reason)
            self._instance.outbox.put(f"the end of {self.id}", self._write_end)
        else:
            self._over(reason)

    def _over(self, reason: str) -> None:
        self.state = State("written", reason)
        self._instance.live.pop(self.id, None)
        self._written.set()

    async def _write_end(self) -> None:
        if self._part is not None and self.asked.prewarm:
            self._part.leave()
        elif self._part is not None:
            await self._part.close(self.stream.response)
        reason = self.state.reason
        try:
            if self.asked.store:
                await self._instance.store.update(self._change(self._unkept))
        except RecordEnded:
            record = await self._instance.store.get(self.owner, self.id)
            self._lost = "deleted" if record is None else record.status
            reason = f"its record had ended before: {self._lost}"
        self._over(reason)

    async def _be_written(self) -> None:
        try:
            async with asyncio.timeout(_WRITTEN_WITHIN):
                await self._written.wait()
        except TimeoutError:
            message = f"The turn has ended, but its response could not be stored yet. Retrieve it later: {self.id}"
            raise self._failed(message) from None
        if self._lost is not None:
            raise self._failed(f"The record of the response {self.id} was ended by another server: {self._lost}.")

    def _failed(self, message: str) -> ProxyError:
        if self.stream.failure is not None:
            return self.stream.failure
        error = StoreUnavailable(message)
        error.begun = True
        return error

    def _noted(self, events: Sequence[StreamEvent]) -> list[StreamEvent]:
        """The same events; those of a background response must be stored."""
        if self.asked.background:
            self._unkept += [stored_event(event) for event in events]
        return list(events)

    def _change(self, events: Sequence[StoredEvent]) -> Change:
        items = self.stream.recorded[self._kept_items :]
        parts = (StoredPart(self._kept_items, stored.encode_conversation(tuple(items))),) if items else ()
        response = self.stream.response
        body = msgspec.json.encode(response)
        return Change(id=self.id, status=response.status, body=body, parts=parts, events=tuple(events))


def stored_event(event: StreamEvent) -> StoredEvent:
    return StoredEvent(event.sequence_number, str(type(event).__struct_config__.tag), msgspec.json.encode(event))


def _now() -> int:
    return int(time.time())
