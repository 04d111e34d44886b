"""What Codex tells of a turn, in order: its notifications and, on a resumed thread, what it writes to the rollout instead."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

import msgspec

from codex_proxy.codex import methods, wire, work
from codex_proxy.codex.connection import Connection
from codex_proxy.codex.open_threads import OpenThread
from codex_proxy.codex.running_turn import RunningTurn
from codex_proxy.codex.tail import InOrder, Tail
from codex_proxy.errors import WorkerFailed

_DELTAS = ("Delta", "/delta", "/progress")
_BEHIND_ALL_ITEMS = (methods.CLIENTS_TOOL, "turn/completed")  # sent when the items before them are completed, or never will be
_LOOKS, _BETWEEN_LOOKS = 500, 0.002  # seconds; the end of the response is written before its calls are reported
_MOMENT = 0.05  # seconds
_WOUND_UP_WITHIN = 2.0  # seconds; it takes 30 ms
_RAW_ITEM = "rawResponseItem/completed"
_NOTHING = msgspec.Raw(b"{}")
_NO_ITEM = wire.ItemKind("")

News = tuple[str, msgspec.Raw]  # method and params


class TurnNews:
    """The notifications for the running turn of a thread; `given` is called with each item of the history that it was given."""

    def __init__(
        self, connection: Connection, thread: OpenThread, running: RunningTurn, given: Callable[[msgspec.Raw], None]
    ) -> None:
        self._connection = connection
        self._thread = thread
        self._running = running
        self._given = given
        self._ready: deque[News] = deque()  # already read
        self._written = InOrder()  # what a resumed thread has written to its rollout

    async def next(self, *, patient: bool) -> News:
        """The next one; unless `patient`, its method may be "": nothing for a moment. Raises WorkerFailed."""
        while not self._ready:
            line = await self._line(patient=patient)
            if line is None:
                if self._thread.tail is not None:
                    await self._look_at(self._thread.tail, until_whole=None)
                    self._ready.extend(self._written.due(everything=True))
                return self._ready.popleft() if self._ready else ("", _NOTHING)
            if (addressed := self._of_thread(line)) is None:
                continue
            if addressed.turn_id not in (None, self._running.id):
                if line.method == _RAW_ITEM:
                    self._given(line.params)
                continue
            if addressed.turn_id is not None:
                await self._running.tell()
            await self._take(str(line.method), line.params)
        return self._ready.popleft()

    async def wound_up(self) -> bool:
        """Interrupt the turn if Codex runs it, and wait for its end. False if that is late, or the agent has begun any work."""
        ended = self._running.id is None or any(method == "turn/completed" for method, _ in self._ready)
        with contextlib.suppress(TimeoutError, WorkerFailed):
            async with asyncio.timeout(_WOUND_UP_WITHIN):
                while not ended:
                    await self._running.want_interrupt()
                    line = await self._line(patient=False)
                    if line is None or (addressed := self._of_thread(line)) is None:
                        continue
                    if addressed.turn_id not in (None, self._running.id):
                        continue
                    if line.method == "item/started" and _item(line.params).type in work.TYPES:
                        return False
                    await self._running.tell()
                    ended = line.method == "turn/completed"
        return ended

    async def _line(self, *, patient: bool) -> wire.Line | None:
        """The next of the connection; None: nothing for a moment."""
        if patient:
            return await self._connection.notification()
        try:
            async with asyncio.timeout(_MOMENT):
                return await self._connection.notification()
        except TimeoutError:
            return None

    def _of_thread(self, line: wire.Line) -> wire.Addressed | None:
        """Whom a notification of this thread is addressed to; None for any other line."""
        if line.method is None:
            return None
        addressed = wire.decode(line.params, wire.Addressed)
        return addressed if addressed.thread_id == self._thread.id else None

    async def _take(self, method: str, params: msgspec.Raw) -> None:
        """Make a notification ready, between those that the rollout has before it and behind it."""
        if self._thread.tail is None or method.endswith(_DELTAS):
            self._ready.append((method, params))
            return
        call = wire.decode(params, wire.ToolCallNews).call_id if method == methods.CLIENTS_TOOL else None
        await self._look_at(self._thread.tail, until_whole=call)
        item = _item(params) if method == "item/completed" else _NO_ITEM
        behind_all = method in _BEHIND_ALL_ITEMS or item.type == wire.COMPACTION  # whose items are not sent at all
        self._ready.extend(self._written.due(everything=behind_all))
        self._ready.append((method, params))
        if item is not _NO_ITEM:
            self._written.completed(item.id or "")
            self._ready.extend(self._written.due(everything=False))

    async def _look_at(self, tail: Tail, *, until_whole: str | None) -> None:
        """Read what a resumed thread writes to its rollout instead of sending it, ahead of its next notification.

        `until_whole`: a call whose model response must be read to its end, which an earlier look may have done.
        """
        for _ in range(_LOOKS):
            try:
                found = tail.read(self._running.id)
            except (OSError, msgspec.MsgspecError) as error:
                raise WorkerFailed("The Codex CLI wrote an unknown form.", detail=str(error)) from error
            for method, params in found:
                if method:
                    self._written.add(method, params)
                else:
                    self._given(params)
            if until_whole is None or self._written.is_whole(until_whole):
                return
            await asyncio.sleep(_BETWEEN_LOOKS)


def _item(params: msgspec.Raw) -> wire.ItemKind:
    return wire.decode(params, wire.ItemKindNews).item
