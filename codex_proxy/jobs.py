"""Job: a turn on its way, with its event channel. JobQueue: the bounded queue that supervisors drain.

Rules: a full queue refuses at once; the channel is bounded, so a client that does not read slows the CLI and not our
memory; a job ends exactly once, with one TurnCompleted or TurnFailed, and its end never waits for room. Callers share
the queue fairly: they take turns at its head, and when it is full, whoever has most in it makes room for who has less.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable

from codex_proxy import logs
from codex_proxy.changes import Changes
from codex_proxy.errors import NotReady, ProxyError, QueueFull, ShuttingDown
from codex_proxy.outcome import Course, Hear, Outcome
from codex_proxy.turns import Turn, TurnEnd, TurnEvent, TurnFailed

EVENTS_AHEAD = 256  # events that may wait for a client that does not read
_RETRY_AFTER = 5.0  # seconds; a turn takes seconds to minutes, and the queue moves with every one


class Job:
    """The supervisor's side is publish and end; the client's side is next_event, interrupt and abandon."""

    def __init__(
        self,
        turn: Turn,
        whose: str = "",
        on_end: Callable[["Job", Outcome], None] = lambda _, __: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called when what the turn is doing is not what it was."""
        self.turn = turn
        self.whose = whose
        self.course = Course(turn)
        self.over = asyncio.Event()
        self.abandoned = False
        self.read = False  # the reader has had the last event
        self._on_end = on_end
        self._on_change = on_change
        self.begun = False  # Codex has been told of the turn: to run it again could do its work twice
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
            self.over.set()
            outcome = self.course.outcome(event, left=self.abandoned, interrupted=self.interrupted.is_set())
            with logs.about(self.course.about):
                outcome.log()
            self._on_end(self, outcome)

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

    def _append(self, event: TurnEvent) -> None:
        self._events.append(event)
        self._arrived.set()
        if len(self._events) >= EVENTS_AHEAD and not self.abandoned:
            self._room.clear()


class JobQueue:
    """At most `size` jobs that wait, each at most `queue_timeout` seconds."""

    def __init__(self, size: int, queue_timeout: float, hear: Hear = lambda _: None) -> None:
        self.size = size
        self.closed = False
        self.changes = Changes()  # rings when a job comes, is taken, does something else, or ends
        self._queue_timeout = queue_timeout
        self._hear = hear  # of every turn that ends
        self._next = _InTurn()
        self._limits: dict[Job, asyncio.TimerHandle] = {}  # of all that wait, oldest first
        self._taken: dict[Job, None] = {}  # and have not ended, oldest first
        self._waiting = Counter[str]()  # the same by caller
        self._lanes: dict[str, _Lane] = {}  # of callers whose turns are bounded

    @property
    def waiting(self) -> int:
        return len(self._limits)

    @property
    def open(self) -> list[Job]:
        """All that have not ended: those that run, then those that wait, oldest first."""
        return [*self._taken, *self._limits]

    @property
    def full(self) -> bool:
        return self.waiting >= self.size

    def submit(self, turn: Turn, whose: str = "", parallel_turns: int | None = None) -> Job:
        """Queue a turn of a caller, who may have so many run at once. Raises QueueFull or ShuttingDown at once."""
        if self.closed:
            raise shutting_down()
        if self.full:
            self._make_room_for(whose)
        job = Job(turn, whose, self._ended, self.changes.ring)
        self._waiting[whose] += 1
        self._limits[job] = asyncio.get_running_loop().call_later(self._queue_timeout, self._expire, job)
        if parallel_turns is None:
            self._next.put_nowait(job)
        else:
            lane = self._lanes.setdefault(whose, _Lane())
            lane.parallel_turns = parallel_turns
            lane.held[job] = None
            self._let_go(lane)
        self.changes.ring()
        return job

    async def take(self) -> Job:
        """The next job. A cancelled take loses none."""
        job = await self._next.get()
        self._waits_no_longer(job)
        self._taken[job] = None
        job.course.begin()
        self.changes.ring()
        return job

    def withdraw(self, job: Job, error: ProxyError) -> None:
        """End a job that still waits, and give its place free; does nothing when it has been taken."""
        if job in self._limits:
            self._waits_no_longer(job)
            self._next.discard(job)
            job.end(TurnFailed(error))

    def close(self) -> None:
        """Take no more jobs, and end those that wait."""
        self.closed = True
        for job in list(self._limits):
            self.withdraw(job, shutting_down())

    def _make_room_for(self, whose: str) -> None:
        """End the newest job of the caller with the most in the queue. Raises QueueFull when that is the asker, or nearly so."""
        busy = QueueFull(f"The server is busy: {self.size} turns are waiting already.", retry_after=_RETRY_AFTER)
        [(greediest, most)] = self._waiting.most_common(1)
        if most <= self._waiting[whose] + 1:
            raise busy
        self.withdraw(next(job for job in reversed(self._limits) if job.whose == greediest), busy)

    def _waits_no_longer(self, job: Job) -> None:
        self._limits.pop(job).cancel()
        self._waiting[job.whose] -= 1
        if not self._waiting[job.whose]:
            del self._waiting[job.whose]

    def _ended(self, job: Job, outcome: Outcome) -> None:
        self._taken.pop(job, None)
        self._hear(outcome)
        self.changes.ring()
        if lane := self._lanes.get(job.whose):
            lane.held.pop(job, None)
            lane.free.discard(job)
            self._let_go(lane)
            if not lane.free:
                del self._lanes[job.whose]

    def _let_go(self, lane: "_Lane") -> None:
        while lane.held and len(lane.free) < lane.parallel_turns:
            job = next(iter(lane.held))
            del lane.held[job]
            lane.free.add(job)
            self._next.put_nowait(job)

    def _expire(self, job: Job) -> None:
        message = f"The turn waited {self._queue_timeout:g} s and was not begun."
        self.withdraw(job, NotReady(message, retry_after=_RETRY_AFTER))


class _Lane:
    """The jobs of a caller with a bound: `free` run or may be taken, `held` wait for one of these to end."""

    def __init__(self) -> None:
        self.parallel_turns = 1
        self.free: set[Job] = set()
        self.held: dict[Job, None] = {}  # oldest first


class _InTurn(asyncio.Queue[Job]):
    """One job of each caller in turn, oldest first; any can be taken out. By the hooks that PriorityQueue uses too."""

    def _init(self, maxsize: int) -> None:
        self._lines: dict[str, dict[Job, None]] = {}
        self._latest: str | None = None  # who has had the latest turn, and has the next only when nobody else waits

    def _put(self, item: Job) -> None:
        self._lines.setdefault(item.whose, {})[item] = None

    def _get(self) -> Job:
        whose = min(self._lines, key=lambda one: one == self._latest)  # the first but that one
        line = self._lines.pop(whose)
        job = next(iter(line))
        del line[job]
        if line:
            self._lines[whose] = line  # behind all others
        self._latest = whose
        return job

    def qsize(self) -> int:
        return sum(map(len, self._lines.values()))

    def empty(self) -> bool:
        return not self._lines

    def discard(self, job: Job) -> None:
        line = self._lines.get(job.whose, {})
        line.pop(job, None)
        if not line:
            self._lines.pop(job.whose, None)


def shutting_down() -> ShuttingDown:
    """What becomes of a job that a stop leaves without its turn."""
    return ShuttingDown("The server is shutting down.", retry_after=_RETRY_AFTER)
