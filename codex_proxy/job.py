"""Job: a turn on its way, with its event channel.

The channel is bounded, so a client that does not read slows the CLI and not our memory. A job ends exactly once, with one
TurnCompleted or TurnFailed, and its end never waits for room.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from codex_proxy import logs
from codex_proxy.outcome import Course, Outcome
from codex_proxy.packing import Packed, unpack
from codex_proxy.turns import Trace, Turn, TurnEnd, TurnEvent, TurnFailed, Waiting

EVENTS_AHEAD = 256  # events that may wait for a client that does not read
_QUICKLY_UNPACKED = 65_536  # bytes


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

    def __repr__(self) -> str:
        words = ["ended" if self.ended else "waiting" if self.course.started is None else "running"]
        words += ["interrupted"] * self.interrupted.is_set() + ["left"] * self.abandoned
        return f"<Job {self.turn.id} {', '.join(words)}>"

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

    def tell_waiting(self) -> None:
        """It has not begun, and will not soon. To be called once: what waits needs no room."""
        self._append(Waiting("worker"))

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
