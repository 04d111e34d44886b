"""The bounded queue of jobs that supervisors take from.

A full queue refuses new jobs at once. Callers share it fairly: they are served in turn, and when it is full, the caller with the
most waiting jobs loses one to a caller with fewer.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from codex_proxy.changes import Changes
from codex_proxy.errors import NotReady, QueueFull, ShuttingDown
from codex_proxy.job import Job
from codex_proxy.outcome import OnOutcome, Outcome
from codex_proxy.packing import Packed
from codex_proxy.turns import Turn, TurnCompleted, TurnEnd, TurnFailed

HELD_FOR = 0.15  # seconds a turn is reserved for the taker that holds its conversation; moving that takes 30 to 150 ms
_HELD_FOR_ALONE = 1.5  # the same for a conversation in memory only: it cannot move, and the provider would read all of it again
_OVERTAKEN_FOR = 2.0  # seconds in the queue after which no newer job of the same caller goes first
_TOLD_AFTER = 2.0  # seconds after which the client is told that its turn is still waiting
_RETRY_AFTER = 5.0  # seconds; a turn takes seconds to minutes, and each one that ends moves the queue


class Taker(Protocol):
    """Something that takes jobs from the queue."""

    def holds(self, turn: Turn) -> bool:
        """Whether it has loaded the conversation that a turn continues."""
        ...

    @property
    def busy(self) -> bool:
        """Whether it is running a turn, so that it cannot take another for some time."""
        ...


class JobQueue:
    """A queue of at most `size` jobs, each waiting at most `queue_timeout` seconds for one of `slots` takers."""

    def __init__(self, size: int, queue_timeout: float, slots: int, on_outcome: OnOutcome = lambda _: None) -> None:
        self.size = size
        self.closed = False
        self.changes = Changes()  # signals that a job was queued or taken, does something else, or ended
        self._queue_timeout = queue_timeout
        self._slots = slots
        self._on_outcome = on_outcome  # called for every turn that ends
        self._callers: dict[str, _Caller] = {}  # callers with jobs, the next to be served first
        self._latest: _Caller | None = None  # the caller served last, which is next only when nobody else waits
        self._arrived = asyncio.Event()  # set when there may be a job to take
        self.takers: list[Taker] = []  # turns are reserved for the one that holds their conversation

    @property
    def waiting(self) -> int:
        return sum(len(caller.waiting) for caller in self._callers.values())

    @property
    def running(self) -> int:
        """Number of jobs that have been taken and have not ended."""
        return sum(len(caller.running) for caller in self._callers.values())

    @property
    def open(self) -> list[Job]:
        """All jobs that have not ended: the running ones, then the waiting ones, each oldest first."""
        running = [job for caller in self._callers.values() for job in caller.running]
        waiting = [job for caller in self._callers.values() for job in caller.waiting]
        return [*sorted(running, key=lambda job: job.course.started or 0.0), *sorted(waiting, key=lambda job: job.course.submitted)]

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
        """Queue a turn for the caller `whose`. Raises QueueFull or ShuttingDown at once.

        The caller may have `parallel_turns` running at once. A turn with `last` waits until no other can run, and does not take
        the last free slot.
        """
        self.check_room(whose, last=last)
        if self.full:
            self.withdraw(self._gives_way(whose, last=last), TurnFailed(self._busy()))
        caller = self._callers.setdefault(whose, _Caller())
        caller.parallel_turns = parallel_turns
        job = Job(turn, whose, self._ended, self.changes.ring, last=last, let_go=let_go)
        loop = asyncio.get_running_loop()
        caller.waiting[job] = loop.call_later(self._queue_timeout, self._expire, job)
        loop.call_later(_TOLD_AFTER, self._tell_waiting, job)
        self._arrived.set()
        self.changes.ring()
        return job

    def check_room(self, whose: str, *, last: bool = False) -> None:
        """Raise what `submit` would raise now."""
        if self.closed:
            raise shutting_down()
        if self.full:
            self._gives_way(whose, last=last)

    async def take(self, taker: Taker | None = None) -> Job:
        """Wait for and take the next job that is not reserved for another taker. Cancellation loses no job."""
        while (job := self._next(taker)) is None:
            self._arrived.clear()
            await self._arrived.wait()
        caller = self._callers.pop(job.whose)
        self._callers[job.whose] = self._latest = caller  # now last in turn
        caller.waiting.pop(job).cancel()
        caller.running[job] = None
        job.course.begin()
        self.changes.ring()
        return job

    def withdraw(self, job: Job, end: TurnEnd) -> None:
        """End a waiting job and free its place. Does nothing when the job has been taken."""
        caller = self._callers.get(job.whose)
        if caller is not None and job in caller.waiting:
            caller.waiting.pop(job).cancel()
            job.end(end)

    def abandon(self, job: Job) -> None:
        """Stop a job whose client has left or needs no more of it."""
        job.abandon()
        self.withdraw(job, TurnCompleted(None, interrupted=True))

    def stop(self, job: Job) -> None:
        """Stop a job early; its end is still reported."""
        job.interrupt()
        self.withdraw(job, TurnCompleted(None, interrupted=True))

    def close(self) -> None:
        """Accept no more jobs, and end the waiting ones."""
        self.closed = True
        for job in [job for caller in self._callers.values() for job in caller.waiting]:
            self.withdraw(job, TurnFailed(shutting_down()))

    def _next(self, taker: Taker | None) -> Job | None:
        """The next job for the taker: of the first caller that may run one more, the caller served last being the last choice.

        Jobs with `last` are considered only when no other can be taken.
        """
        able = sorted((caller for caller in self._callers.values() if caller.may_run), key=lambda one: one is self._latest)
        for caller in able:
            if (job := caller.first(self._left_to, taker, last=False)) is not None:
                return job
        if self._slots - self.running > 1 or self._slots == 1:
            return next((job for caller in able if (job := caller.first(self._left_to, taker, last=True)) is not None), None)
        return None

    def _left_to(self, job: Job, taker: Taker | None) -> bool:
        """Whether this taker may have the job, which is reserved for a while for a free taker that holds its conversation."""
        if job.turn.trace is None or taker is None:
            return True
        holder = next((one for one in self.takers if one.holds(job.turn)), taker)
        waited = time.monotonic() - job.course.submitted
        held_for = HELD_FOR if job.turn.trace.content else _HELD_FOR_ALONE
        if holder is taker or holder.busy or waited >= held_for:
            return True
        asyncio.get_running_loop().call_later(held_for - waited, self._arrived.set)
        return False

    def _busy(self) -> QueueFull:
        return QueueFull(f"The server is busy: {self.size} turns are waiting already.", retry_after=_RETRY_AFTER)

    def _gives_way(self, whose: str, *, last: bool) -> Job:
        """The job that makes room for a new one.

        The newest job with `last` makes room for one without; otherwise it is the newest of the caller with the most waiting jobs.
        Raises QueueFull when that caller has at most one waiting job more than `whose`, or when the new job has `last`.
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
        self._arrived.set()  # its caller may run one more, or a slot is free
        self._on_outcome(outcome)
        self.changes.ring()

    def _tell_waiting(self, job: Job) -> None:
        caller = self._callers.get(job.whose)
        if caller is not None and job in caller.waiting:
            job.tell_waiting()

    def _expire(self, job: Job) -> None:
        message = f"The turn waited {self._queue_timeout:g} s in the queue and was not started."
        self.withdraw(job, TurnFailed(NotReady(message, retry_after=_RETRY_AFTER)))


class _Caller:
    """A caller's waiting and running jobs, oldest first, and how many may run at once (None: any number)."""

    def __init__(self) -> None:
        self.parallel_turns: int | None = None
        self.waiting: dict[Job, asyncio.TimerHandle] = {}
        self.running: dict[Job, None] = {}

    @property
    def may_run(self) -> bool:
        return self.parallel_turns is None or len(self.running) < self.parallel_turns

    def first(self, left_to: Callable[[Job, Taker | None], bool], taker: Taker | None, *, last: bool) -> Job | None:
        """The job whose conversation the taker holds, else the oldest it may have, among jobs whose `last` is the given one.

        Serving conversations where they are loaded frees slots sooner than serving in order of arrival, so nobody waits longer.
        No job goes before one that has waited for _OVERTAKEN_FOR.
        """
        able = [job for job in self.waiting if job.last is last]
        oldest = next((job for job in able if left_to(job, taker)), None)
        if oldest is None or taker is None or time.monotonic() - oldest.course.submitted > _OVERTAKEN_FOR:
            return oldest
        return next((job for job in able if taker.holds(job.turn)), oldest)


def shutting_down() -> ShuttingDown:
    """The error of a job that is not run, or cut off, because the server stops."""
    return ShuttingDown("The server is shutting down.", retry_after=_RETRY_AFTER)
