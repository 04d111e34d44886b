"""A submitted turn with its event channel.

The channel is bounded, so a slow client holds back the CLI instead of filling our memory. A job ends exactly once, with one
TurnCompleted or TurnFailed, and its end never waits for room.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from codex_proxy import logs
from codex_proxy.outcome import Course, Outcome
from codex_proxy.packing import Packed, unpack
from codex_proxy.turns import Trace, Turn, TurnEnd, TurnEvent, TurnFailed, Waiting

EVENTS_AHEAD = 256  # events buffered for a client that does not read
_QUICKLY_UNPACKED = 65_536  # bytes


class Job:
    """A turn on its way. The supervisor calls `publish` and `end`; the client `next_event`, `interrupt` and `abandon`."""

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
        """`on_change` is called when the turn's activity changes, `let_go` when the packed turn is no longer held."""
        self.packed = turn if isinstance(turn, Packed) else None  # until Codex has the turn
        self.turn = turn = turn.turn if isinstance(turn, Packed) else turn
        self._let_go = let_go
        self.whose = whose
        self.last = last  # runs only after all other turns
        self.course = Course(turn)
        self.over = asyncio.Event()
        self.abandoned = False
        self.read = False  # the reader has received the last event
        self._on_end = on_end
        self._on_change = on_change
        self.begun = False  # Codex has the turn: running it again could repeat its work
        self.trace: Trace | None = None  # the turn's trace, once it has completed
        self.interrupted = asyncio.Event()  # set when the turn should stop early
        self._events: deque[TurnEvent] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __repr__(self) -> str:
        words = ["ended" if self.ended else "waiting" if self.course.started is None else "running"]
        words += ["interrupted"] * self.interrupted.is_set() + ["left"] * self.abandoned
        return f"<Job {self.turn.id} {', '.join(words)}>"

    @property
    def ended(self) -> bool:
        return self.over.is_set()

    async def publish(self, event: TurnEvent) -> None:
        """Pass on an event, waiting for room. Events for a client that has left are dropped."""
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

    def tell_waiting(self) -> None:
        """Tell the client that the turn is still waiting. Call it once, before the turn has begun: it does not wait for room."""
        self._append(Waiting("worker"))

    def end(self, event: TurnEnd) -> None:
        """Pass on the last event. Any later end is ignored: the first one is what happened."""
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
        """The complete turn, unpacked; for use before it has begun."""
        packed = self.packed
        if packed is None:
            return self.turn
        if len(packed.content) <= _QUICKLY_UNPACKED:
            return unpack(packed)
        return await asyncio.to_thread(unpack, packed)

    async def next_event(self) -> TurnEvent:
        """The next event, in order, up to the last. For one reader only; cancellation loses no event."""
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        if len(self._events) <= EVENTS_AHEAD:
            self._room.set()
        event = self._events.popleft()
        self.read = isinstance(event, TurnEnd)
        return event

    def interrupt(self) -> None:
        """Stop the turn early; its end still arrives through `next_event`."""
        self.interrupted.set()
        self._on_change()

    def abandon(self) -> None:
        """Stop the turn because nobody reads its events any more. Does nothing after the last event."""
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
