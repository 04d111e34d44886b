"""Job: a turn on its way, with its event channel. JobQueue: the bounded queue that supervisors drain.

Rules: a full queue refuses at once; the channel is bounded, so a client that does not read slows the CLI and not our
memory; a job ends exactly once, with one TurnCompleted or TurnFailed, and its end never waits for room.
"""

import asyncio
from collections import deque

from codex_proxy.errors import NotReady, ProxyError, QueueFull, ShuttingDown
from codex_proxy.turns import Turn, TurnEnd, TurnEvent, TurnFailed

EVENTS_AHEAD = 256  # events that may wait for a client that does not read
_RETRY_AFTER = 5.0  # seconds; a turn takes seconds to minutes, and the queue moves with every one


class Job:
    """The supervisor's side is publish and end; the client's side is next_event, interrupt and abandon."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.over = asyncio.Event()
        self.abandoned = False
        self.read = False  # the reader has had the last event
        self._begun = False
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
        self._begun = True
        await self._room.wait()
        if not self.abandoned:
            self._append(event)

    def end(self, event: TurnEnd) -> None:
        """The last event. A second end is ignored: the first one is what happened."""
        if not self.ended:
            if isinstance(event, TurnFailed):
                event.error.begun = self._begun
            self._append(event)
            self.over.set()

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

    def __init__(self, size: int, queue_timeout: float) -> None:
        self.size = size
        self.closed = False
        self._queue_timeout = queue_timeout
        self._waiting = _Waiting()
        self._limits: dict[Job, asyncio.TimerHandle] = {}

    @property
    def waiting(self) -> int:
        return self._waiting.qsize()

    @property
    def full(self) -> bool:
        return self.waiting >= self.size

    def submit(self, turn: Turn) -> Job:
        """Queue a turn. Raises QueueFull or ShuttingDown at once."""
        if self.closed:
            raise ShuttingDown("The server is shutting down.", retry_after=_RETRY_AFTER)
        if self.full:
            raise QueueFull(f"The server is busy: {self.size} turns are waiting already.", retry_after=_RETRY_AFTER)
        job = Job(turn)
        self._waiting.put_nowait(job)
        self._limits[job] = asyncio.get_running_loop().call_later(self._queue_timeout, self._expire, job)
        return job

    async def take(self) -> Job:
        """The next job. A cancelled take loses none."""
        job = await self._waiting.get()
        self._limits.pop(job).cancel()
        return job

    def withdraw(self, job: Job, error: ProxyError) -> None:
        """End a job that still waits, and give its place free; does nothing when it has been taken."""
        if job in self._limits:
            self._limits.pop(job).cancel()
            self._waiting.discard(job)
            job.end(TurnFailed(error))

    def close(self) -> None:
        """Take no more jobs, and end those that wait."""
        self.closed = True
        for job in list(self._limits):
            self.withdraw(job, ShuttingDown("The server is shutting down.", retry_after=_RETRY_AFTER))

    def _expire(self, job: Job) -> None:
        message = f"The turn waited {self._queue_timeout:g} s and was not begun."
        self.withdraw(job, NotReady(message, retry_after=_RETRY_AFTER))


class _Waiting(asyncio.Queue[Job]):
    """Oldest first, and a job in the middle can be taken out; by the hooks that PriorityQueue uses too."""

    def _init(self, maxsize: int) -> None:
        self._jobs: dict[Job, None] = {}

    def _put(self, item: Job) -> None:
        self._jobs[item] = None

    def _get(self) -> Job:
        job = next(iter(self._jobs))
        del self._jobs[job]
        return job

    def qsize(self) -> int:
        return len(self._jobs)

    def empty(self) -> bool:
        return not self._jobs

    def discard(self, job: Job) -> None:
        self._jobs.pop(job, None)
