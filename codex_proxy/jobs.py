"""Job: a turn on its way, with its event channel. JobQueue: the bounded queue that supervisors drain.

Rules: a full queue refuses at once; the channel is bounded, so a client that does not read slows the CLI and not our
memory; a job ends exactly once, with one TurnCompleted or TurnFailed, and its end never waits for room. Callers share
the queue fairly: they take turns at its head, and when it is full, the key with most turns in it makes room for those with fewer.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from codex_proxy import logs
from codex_proxy.changes import Changes
from codex_proxy.errors import NotReady, QueueFull, ShuttingDown
from codex_proxy.outcome import Course, Hear, Outcome
from codex_proxy.packing import Packed, unpack
from codex_proxy.turns import Trace, Turn, TurnCompleted, TurnEnd, TurnEvent, TurnFailed

HELD_FOR = 0.15  # seconds that a turn is left to who holds its conversation; to bring it elsewhere takes 30 to 150 ms
EVENTS_AHEAD = 256  # events that may wait for a client that does not read
_QUICKLY_UNPACKED = 65_536  # bytes
_RETRY_AFTER = 5.0  # seconds; a turn takes seconds to minutes, and the queue moves with every one


class Job:
    """The supervisor's side is publish and end; the client's side is next_event, interrupt and abandon."""

    def __init__(
        self,
        turn: Turn | Packed,
        whose: str = "",
        on_end: Callable[["Job", Outcome], None] = lambda _, __: None,
        on_change: Callable[[], None] = lambda: None,
        *,
        last: bool = False,
        let_go: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called when what the turn is doing is not what it was, `let_go` when a packed one is not kept any more."""
        self.packed = turn if isinstance(turn, Packed) else None  # until Codex has been told of the turn
        self.turn = turn = turn.turn if isinstance(turn, Packed) else turn
        self._let_go = let_go
        self.whose = whose
        self.last = last  # behind every other turn
        self.course = Course(turn)
        self.over = asyncio.Event()
        self.abandoned = False
        self.read = False  # the reader has had the last event
        self._on_end = on_end
        self._on_change = on_change
        self.begun = False  # Codex has been told of the turn: to run it again could do its work twice
        self.trace: Trace | None = None  # what the turn has left, once it has ended well
        self.interrupted = asyncio.Event()  # somebody wants the turn to stop early
        self._events: deque[TurnEvent] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def ended(self) -> bool:
        return self.over.is_set()

    async def publish(self, event: TurnEvent) -> None:
        """Pass an event on, and wait for room. What is published for a client that has left is dropped."""
        if isinstance(event, TurnEnd):
            self.end(event)
            return
        self.begun = True
        self._unpacked()
        if self.course.note(event):
            self._on_change()
        await self._room.wait()
        if not self.abandoned:
            self._append(event)

    def end(self, event: TurnEnd) -> None:
        """The last event. A second end is ignored: the first one is what happened."""
        if not self.ended:
            if isinstance(event, TurnFailed):
                event.error.begun = self.begun
            self._append(event)
            self._unpacked()
            self.over.set()
            outcome = self.course.outcome(event, left=self.abandoned, interrupted=self.interrupted.is_set())
            with logs.about(self.course.about):
                outcome.log()
            self._on_end(self, outcome)

    async def whole_turn(self) -> Turn:
        """The turn with all that is in it, before it has begun."""
        packed = self.packed
        if packed is None:
            return self.turn
        if len(packed.content) <= _QUICKLY_UNPACKED:
            return unpack(packed)
        return await asyncio.to_thread(unpack, packed)

    async def next_event(self) -> TurnEvent:
        """The next event, in order, up to the last one. For one reader; cancelled while it waits, it loses none."""
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        if len(self._events) <= EVENTS_AHEAD:
            self._room.set()
        event = self._events.popleft()
        self.read = isinstance(event, TurnEnd)
        return event

    def interrupt(self) -> None:
        """Have the turn stop early; its end still comes through `next_event`."""
        self.interrupted.set()
        self._on_change()

    def abandon(self) -> None:
        """Nobody reads any more: stop the turn. After the last event this does nothing."""
        if not self.ended:
            self.abandoned = True
            self.interrupt()
            self._events.clear()
            self._room.set()

    def _unpacked(self) -> None:
        self.packed = None
        self._let_go()

    def _append(self, event: TurnEvent) -> None:
        self._events.append(event)
        self._arrived.set()
        if len(self._events) >= EVENTS_AHEAD and not self.abandoned:
            self._room.clear()


class Taker(Protocol):
    """Who takes jobs."""

    def holds(self, turn: Turn) -> bool:
        """Whether it has the conversation that a turn continues at hand."""
        ...

    @property
    def busy(self) -> bool:
        """Whether it runs a turn, and will take no other for some time."""
        ...


class JobQueue:
    """At most `size` jobs that wait, each at most `queue_timeout` seconds, for one of `slots` takers."""

    def __init__(self, size: int, queue_timeout: float, slots: int, hear: Hear = lambda _: None) -> None:
        self.size = size
        self.closed = False
        self.changes = Changes()  # rings when a job comes, is taken, does something else, or ends
        self._queue_timeout = queue_timeout
        self._slots = slots
        self._hear = hear  # of every turn that ends
        self._callers: dict[str, _Caller] = {}  # who has jobs here, next in turn first
        self._latest: _Caller | None = None  # who has had the latest turn, and has the next only when nobody else waits
        self._arrived = asyncio.Event()  # there may be one to take
        self.takers: list[Taker] = []  # to which turns are left whose conversation they hold

    @property
    def waiting(self) -> int:
        return sum(len(caller.waiting) for caller in self._callers.values())

    @property
    def running(self) -> int:
        """How many have been taken and have not ended."""
        return sum(len(caller.running) for caller in self._callers.values())

    @property
    def open(self) -> list[Job]:
        """All that have not ended: those that run, then those that wait, oldest first."""
        running = [job for caller in self._callers.values() for job in caller.running]
        waiting = [job for caller in self._callers.values() for job in caller.waiting]
        return [*sorted(running, key=lambda job: job.course.begun or 0.0), *sorted(waiting, key=lambda job: job.course.submitted)]

    @property
    def full(self) -> bool:
        return self.waiting >= self.size

    def submit(
        self,
        turn: Turn | Packed,
        whose: str = "",
        parallel_turns: int | None = None,
        *,
        last: bool = False,
        let_go: Callable[[], None] = lambda: None,
    ) -> Job:
        """Queue a turn of a caller, who may have so many run at once. Raises QueueFull or ShuttingDown at once.

        One that comes `last` waits behind every other turn, and is not run in the last free slot.
        """
        self.check_room(whose, last=last)
        if self.full:
            self.withdraw(self._gives_way(whose, last=last), TurnFailed(self._busy()))
        caller = self._callers.setdefault(whose, _Caller())
        caller.parallel_turns = parallel_turns
        job = Job(turn, whose, self._ended, self.changes.ring, last=last, let_go=let_go)
        caller.waiting[job] = asyncio.get_running_loop().call_later(self._queue_timeout, self._expire, job)
        self._arrived.set()
        self.changes.ring()
        return job

    def check_room(self, whose: str, *, last: bool = False) -> None:
        """Raises what `submit` would raise now."""
        if self.closed:
            raise shutting_down()
        if self.full:
            self._gives_way(whose, last=last)

    async def take(self, taker: Taker | None = None) -> Job:
        """The next job that is not better left to another taker. A cancelled take loses none."""
        while (job := self._next(taker)) is None:
            self._arrived.clear()
            await self._arrived.wait()
        caller = self._callers.pop(job.whose)
        self._callers[job.whose] = self._latest = caller  # behind all others
        caller.waiting.pop(job).cancel()
        caller.running[job] = None
        job.course.begin()
        self.changes.ring()
        return job

    def withdraw(self, job: Job, end: TurnEnd) -> None:
        """End a job that still waits, and give its place free; does nothing when it has been taken."""
        caller = self._callers.get(job.whose)
        if caller is not None and job in caller.waiting:
            caller.waiting.pop(job).cancel()
            job.end(end)

    def abandon(self, job: Job) -> None:
        """The client is done with a job, or has left."""
        job.abandon()
        self.withdraw(job, TurnCompleted(None, interrupted=True))

    def stop(self, job: Job) -> None:
        """Have a job end early; its end still comes."""
        job.interrupt()
        self.withdraw(job, TurnCompleted(None, interrupted=True))

    def close(self) -> None:
        """Take no more jobs, and end those that wait."""
        self.closed = True
        for job in [job for caller in self._callers.values() for job in caller.waiting]:
            self.withdraw(job, TurnFailed(shutting_down()))

    def _next(self, taker: Taker | None) -> Job | None:
        """Of the callers that may have one more run, the first but the latest; those that come last when no other can be taken."""
        able = sorted((caller for caller in self._callers.values() if caller.may_run), key=lambda one: one is self._latest)
        for caller in able:
            if (job := caller.first(self._left_to, taker, last=False)) is not None:
                return job
        if self._slots - self.running > 1 or self._slots == 1:
            return next((job for caller in able if (job := caller.first(self._left_to, taker, last=True)) is not None), None)
        return None

    def _left_to(self, job: Job, taker: Taker | None) -> bool:
        """Whether a job may be had by this taker: another one that holds its conversation, and is soon free, comes first."""
        if job.turn.trace is None or taker is None:
            return True
        holder = next((one for one in self.takers if one.holds(job.turn)), taker)
        waited = time.monotonic() - job.course.submitted
        if holder is taker or holder.busy or waited >= HELD_FOR:
            return True
        asyncio.get_running_loop().call_later(HELD_FOR - waited, self._arrived.set)
        return False

    def _busy(self) -> QueueFull:
        return QueueFull(f"The server is busy: {self.size} turns are waiting already.", retry_after=_RETRY_AFTER)

    def _gives_way(self, whose: str, *, last: bool) -> Job:
        """The newest job that comes last, to one that does not; else that of the caller with the most in the queue.

        Raises QueueFull when that is the asker, or nearly so.
        """
        behind = [job for caller in self._callers.values() for job in caller.waiting if job.last]
        if behind and not last:
            return max(behind, key=lambda job: job.course.submitted)
        own = self._callers.get(whose, _Caller())
        greediest = max(self._callers.values(), key=lambda caller: len(caller.waiting))
        if len(greediest.waiting) <= len(own.waiting) + 1 or last:
            raise self._busy()
        return next(reversed(greediest.waiting))

    def _ended(self, job: Job, outcome: Outcome) -> None:
        caller = self._callers[job.whose]
        caller.running.pop(job, None)
        if not caller.running and not caller.waiting:
            del self._callers[job.whose]
        self._arrived.set()  # its caller may have one more run, or a slot has become free
        self._hear(outcome)
        self.changes.ring()

    def _expire(self, job: Job) -> None:
        message = f"The turn waited {self._queue_timeout:g} s in the queue and was not started."
        self.withdraw(job, TurnFailed(NotReady(message, retry_after=_RETRY_AFTER)))


class _Caller:
    """What one caller has in the queue and on workers, oldest first, and how many may run at once (None: any number)."""

    def __init__(self) -> None:
        self.parallel_turns: int | None = None
        self.waiting: dict[Job, asyncio.TimerHandle] = {}
        self.running: dict[Job, None] = {}

    @property
    def may_run(self) -> bool:
        return self.parallel_turns is None or len(self.running) < self.parallel_turns

    def first(self, left_to: Callable[[Job, Taker | None], bool], taker: Taker | None, *, last: bool) -> Job | None:
        """The oldest that waits and is left to the taker, of those that come last or of the others."""
        return next((job for job in self.waiting if job.last is last and left_to(job, taker)), None)


def shutting_down() -> ShuttingDown:
    """What becomes of a job that a stop leaves without its turn."""
    return ShuttingDown("The server is shutting down.", retry_after=_RETRY_AFTER)
