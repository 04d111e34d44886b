"""JobQueue: the bounded queue that supervisors drain.

A full queue refuses at once. Callers share it fairly: they take turns at its head, and when it is full, the caller with the
most jobs in it makes room for one with fewer.
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

HELD_FOR = 0.15  # seconds that a turn is left to who holds its conversation; to bring it elsewhere takes 30 to 150 ms
_HELD_FOR_ALONE = 1.5  # where it cannot be brought elsewhere, being in memory only: the provider would read all of it again
_OVERTAKEN_FOR = 2.0  # seconds in the queue after which no younger job of the caller's goes first
_TOLD_AFTER = 2.0  # seconds; then a turn that still waits tells its client so
_RETRY_AFTER = 5.0  # seconds; a turn takes seconds to minutes, and the queue moves with every one


class Taker(Protocol):
    """Who takes jobs."""

    def holds(self, turn: Turn) -> bool:
        """Whether it has the conversation that a turn continues at hand."""
        ...

    @property
    def busy(self) -> bool:
        """Whether it runs a turn that has not ended, and will take no other for some time."""
        ...


class JobQueue:
    """At most `size` jobs that wait, each at most `queue_timeout` seconds, for one of `slots` takers."""

    def __init__(self, size: int, queue_timeout: float, slots: int, on_outcome: OnOutcome = lambda _: None) -> None:
        self.size = size
        self.closed = False
        self.changes = Changes()  # rings when a job comes, is taken, does something else, or ends
        self._queue_timeout = queue_timeout
        self._slots = slots
        self._on_outcome = on_outcome  # of every turn that ends
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
        """Queue a turn of a caller, who may have so many run at once. Raises QueueFull or ShuttingDown at once.

        One that comes `last` waits behind every other turn, and is not run in the last free slot.
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
        held_for = HELD_FOR if job.turn.trace.content else _HELD_FOR_ALONE
        if holder is taker or holder.busy or waited >= held_for:
            return True
        asyncio.get_running_loop().call_later(held_for - waited, self._arrived.set)
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
    """What one caller has in the queue and on workers, oldest first, and how many may run at once (None: any number)."""

    def __init__(self) -> None:
        self.parallel_turns: int | None = None
        self.waiting: dict[Job, asyncio.TimerHandle] = {}
        self.running: dict[Job, None] = {}

    @property
    def may_run(self) -> bool:
        return self.parallel_turns is None or len(self.running) < self.parallel_turns

    def first(self, left_to: Callable[[Job, Taker | None], bool], taker: Taker | None, *, last: bool) -> Job | None:
        """The one whose conversation the taker holds, else the oldest left to it, of those that come last or of the others.

        To take conversations where they are makes room sooner than the order of arrival, so nobody waits longer for it; and
        a turn that has waited for _OVERTAKEN_FOR is not overtaken.
        """
        able = [job for job in self.waiting if job.last is last]
        oldest = next((job for job in able if left_to(job, taker)), None)
        if oldest is None or taker is None or time.monotonic() - oldest.course.submitted > _OVERTAKEN_FOR:
            return oldest
        return next((job for job in able if taker.holds(job.turn)), oldest)


def shutting_down() -> ShuttingDown:
    """What becomes of a job that a stop leaves without its turn."""
    return ShuttingDown("The server is shutting down.", retry_after=_RETRY_AFTER)
