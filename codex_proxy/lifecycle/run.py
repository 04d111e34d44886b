"""Run: one response in progress: its turn's job, its stream of events, its record in the store.

    queued -> running -> unwritten -> written        a state says why it is what it is
       `---------------------^                       left, cancelled or refused before Codex was told of the turn

The only way out is `_end`: however the run ended, its end goes to the outbox and stays there until the store accepts it; `ending`
is what is written. Completion is written before it is reported.
"""

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
from codex_proxy.history import History
from codex_proxy.job import Job
from codex_proxy.jobs import JobQueue
from codex_proxy.lifecycle.ending import Ending
from codex_proxy.lifecycle.instance import Instance
from codex_proxy.lifecycle.parts import Part
from codex_proxy.store.base import Change, Record, StoredEvent, StoredPart
from codex_proxy.turns import MessageCompleted, ReasoningCompleted, Turn, TurnCompleted, TurnEnd, Usage, WorkCompleted

_NO_TOKENS = Usage(0, 0, 0, 0)
_BOUNDARIES = (MessageCompleted, ReasoningCompleted)  # where a turn may end for a steering input; also after work

Remember = Callable[[Job, tuple[History, ...], bool], None]


class State(msgspec.Struct, frozen=True):
    """The phase of a run. `unwritten` and `written` mean that it has ended, and whether its record says so."""

    phase: Literal["queued", "running", "unwritten", "written"]
    reason: str

    @property
    def ended(self) -> bool:
        return self.phase in ("unwritten", "written")


class Run:
    """A response in progress, with one reader: its request or, in the background, a task."""

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
        """`remember` is called with an answer, and whether it is whole, before the reader gets the last of it.

        `part` is the hold on a conversation.
        """
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
            compacts=asked.compacts,
        )
        self._instance = instance
        self._jobs = jobs
        self._remember = remember
        self._part = part
        form = asked.form
        self._filter = AnswerFilter(turn.mode, json=asked.json, held=form.checked is not None, optional=form.optional)
        self._steered = self._behind_work = False
        self._stopped: str | None = None  # why it should end early
        self._ready: list[StreamEvent] = []
        self._unkept: list[StoredEvent] = []  # events not yet stored
        self._kept_items = 0  # number of recorded items that are stored
        self._ending: Ending | None = None

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.state.phase}: {self.state.reason}>"

    @property
    def told(self) -> bool:
        """True once the run has ended and `next` has returned its last events."""
        return self.state.ended and not self._ready

    @property
    def stored_id(self) -> str | None:
        """The id of the record; None if there is none."""
        return self.id if self.asked.store else None

    @property
    def recorded(self) -> bool:
        """True if a whole response was generated, and its record says so, or will."""
        return self.asked.store and self.state.ended and self.stream.response.ended_well

    def given(self) -> tuple[bytes, bytes]:
        """Return the input and the conversation before the answer, as they are stored."""
        asked = self.asked
        return stored.input_items(asked.body.input, self.id), stored.encode_conversation(asked.conversation(()))

    async def create(self, given: bytes, conversation: bytes) -> None:
        """Create the record, before the turn begins. Raises StorageFull and StoreUnavailable."""
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

    async def bind_part(self) -> None:
        """Bind the hold on a conversation to the record. Raises ConversationLocked and StoreUnavailable."""
        if self._part is not None:
            await self._part.bind(self.stored_id)

    def give_part(self) -> None:
        """Give the hold on a conversation the input items, if the record does not have them."""
        if self._part is not None and not self.asked.store:
            self._part.given = stored.input_items(self.asked.body.input, self.id)

    def forget_conversation(self, turn: Turn) -> None:
        """Drop the conversation, which the record and the queued turn have; `turn` is the turn without it."""
        self.asked = self.asked.without_conversation()
        self.turn = turn

    def start(self, job: Job) -> None:
        """Attach the job of the queued turn."""
        self.job = job

    def first(self) -> list[StreamEvent]:
        """Return the events that precede all others."""
        return self._noted(self.stream.first())

    async def next(self) -> list[StreamEvent]:
        """Wait for the next events, at least one; the last ones when the run has ended. No events are lost on cancellation.

        Raises StoreUnavailable, with `begun` set, if the end is not written in time; the outbox keeps trying.
        """
        if self.asked.prewarm and not self.state.ended:
            self._ready += self._noted(self.stream.feed(TurnCompleted(_NO_TOKENS), _now()))
            self._end("nothing was to be generated")
        while not self._ready:
            assert self.job is not None
            event = await self.job.next_event()
            if self._stopped and self.job.read:
                self._ready += self._noted(self.stream.cancel(_now(), event.usage if isinstance(event, TurnEnd) else None))
                self._end(self._stopped)
                break
            if self.state.phase == "queued" and self.job.begun:
                self.state = State("running", "Codex has been told of its turn")
            self._ready += self._noted([told for event in self._filter.feed(event) for told in self.stream.feed(event, _now())])
            if self._steered and (self._behind_work or isinstance(event, _BOUNDARIES)):
                self.stream.steered = True
            self._behind_work = isinstance(event, WorkCompleted)  # with the next event, Codex has its output in the history
            if self.stream.enough or self.stream.steered:
                self.job.interrupt()
            if self.job.read:
                if self.stream.response.ended_well and not self.asked.compacts:
                    whole = self.stream.response.status == "completed" and not self.stream.enough
                    self._remember(self.job, repeated(self.stream.response.output), whole)
                self._end(f"its turn ended: {self.stream.response.status}")
        if self._ending is not None and (self.asked.prewarm or not self.asked.background):
            await self._ending.written()
        ready, self._ready = self._ready, []
        return ready

    async def keep(self) -> None:
        """Bring the record up to date, including the events that may be replayed. What the store rejects is kept for the next call.

        Raises StorageFull, StoreUnavailable, and RecordEnded if someone else has ended the record.
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
        """End the turn early; the stream still gets its end."""
        if self.job is not None and self._stopped is None:
            self._stopped = reason
            self._jobs.stop(self.job)

    def steer(self) -> None:
        """End the turn as soon as its present step is done: the client has more to say."""
        self._steered = True

    def leave(self) -> None:
        """Release the run when its reader is done or gone; a turn still running is interrupted, and the record says so."""
        if self.job is None:
            if not self.state.ended:
                self._drop()
        else:
            self._jobs.abandon(self.job)
            if not self.state.ended:
                self._noted(self.stream.cancel(_now()))
                self._end("its reader has left")

    def _drop(self) -> None:
        """Undo everything: the turn was refused before it was submitted."""
        if self.asked.store:
            self._instance.outbox.put(f"the end of {self.id}", lambda: self._instance.store.delete(self.owner, self.id), 60.0)
        if self._part is not None:
            self._part.leave()
        self._over("its turn was refused")

    def _end(self, reason: str) -> None:
        """End the run."""
        if self.asked.store or self._part is not None:
            self.state = State("unwritten", reason)
            change = self._change(self._unkept) if self.asked.store else None
            self._ending = ending = Ending(self._instance.store, self.owner, self.stream, change, self._part)
            self._instance.outbox.put(f"the end of {self.id}", lambda: self._write(ending))
        else:
            self._over(reason)

    async def _write(self, ending: Ending) -> None:
        await ending.write(adds=not self.asked.prewarm)
        self._over(self.state.reason if ending.lost is None else f"its record had ended before: {ending.lost}")

    def _over(self, reason: str) -> None:
        self.state = State("written", reason)
        self._instance.live.pop(self.id, None)

    def _noted(self, events: Sequence[StreamEvent]) -> list[StreamEvent]:
        """Return the events; those of a background response are also queued for the store."""
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
