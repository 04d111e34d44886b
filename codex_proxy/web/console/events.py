"""GET /x_codex/events: the status as server-sent events, first in full, then its changes.

Nothing is queued for a reader: each event is the difference between the present and what was last sent, so a slow reader gets fewer
events, and one that takes none is cut off. The stream ends from time to time and the reader reconnects, so that its key is checked
again.
"""

import asyncio
import time
from typing import Any

import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse
from msgspec import UNSET, UnsetType

from codex_proxy.web import sse
from codex_proxy.web.console.status import BOARD, Board, Login, Queue, QuotaWindow, Status, TurnNow, View, Workers

LIFE = 100.0  # seconds; less than the shortest possible deadline of a request (web/gates/limits.py)
_GATHERED_FOR = 0.2  # seconds: no person reads faster
_LOOK_AGAIN = 1.0  # seconds; changes of workers and logins do not wake the stream
_SHARED_AT_MOST = 64  # entries in each cache
_STALL_TIMEOUT = 10.0  # seconds for one write

_MEMBERS = ("ready", "reason", "login", "quota", "workers", "queue")  # members of Status that can change


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Changes since the last event: members of Status, new or changed turns, and the ids of turns that have ended."""

    now: float
    ready: bool | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET
    login: Login | UnsetType | None = UNSET
    quota: tuple[QuotaWindow, ...] | UnsetType = UNSET
    workers: Workers | UnsetType = UNSET
    queue: Queue | UnsetType = UNSET
    turns: tuple[TurnNow, ...] | UnsetType = UNSET
    ended: tuple[str, ...] | UnsetType = UNSET


class Frames:
    """A cache shared by all readers: the status for each kind of view, and the frame for each change from one status to another."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, bool], tuple[int, float, Status]] = {}
        self._made: dict[tuple[int, int], tuple[Status, Status, str | None]] = {}

    def status(self, view: View, number: int, now: float) -> Status:
        """Return the status as of change `number`; it may be up to half of _LOOK_AGAIN old."""
        known = self._latest.get(view.sight)
        if known is not None and known[0] == number and now - known[1] < _LOOK_AGAIN / 2:
            return known[2]
        if len(self._latest) >= _SHARED_AT_MOST:
            self._latest.clear()
        status = view.status()
        self._latest[view.sight] = (number, now, status)
        return status

    def change(self, before: Status, after: Status) -> str | None:
        """Return the frame's data; None if nothing has changed."""
        known = self._made.get((id(before), id(after)))
        if known is not None:  # the entry holds both, so their ids cannot have been reused
            return known[2]
        if len(self._made) >= _SHARED_AT_MOST:
            self._made.clear()
        change = difference(before, after)
        data = None if change is None else msgspec.json.encode(change).decode()
        self._made[id(before), id(after)] = (before, after, data)
        return data


FRAMES = web.AppKey("console_frames", Frames)


async def stream(request: web.Request) -> web.StreamResponse:
    """Stream an event `status` with a Status, then an event `change` for each Change."""
    board = request.app[BOARD]
    view = await board.view_of(request)
    board.server.watchers.check(view.owner)
    with board.server.watchers.one(view.owner):
        async with await sse.opened(request, {}, _STALL_TIMEOUT) as answer:
            await _tell(answer, board, view, request.app[FRAMES])
            return answer


async def _tell(answer: EventSourceResponse, board: Board, view: View, frames: Frames) -> None:
    changes, clock = board.server.jobs.changes, asyncio.get_running_loop().time
    until = clock() + LIFE
    seen = changes.number
    told = frames.status(view, seen, clock())
    await answer.send(msgspec.json.encode(msgspec.structs.replace(told, now=time.time())).decode(), event="status")
    while not board.server.ending and clock() < until:
        await changes.after(seen, _LOOK_AGAIN)
        if changes.number > seen:
            await asyncio.sleep(_GATHERED_FOR)
        seen = changes.number
        is_now = frames.status(view, seen, clock())
        if (data := frames.change(told, is_now)) is not None:
            await answer.send(data, event="change")
        told = is_now


def difference(before: Status, after: Status) -> Change | None:
    """Return what has changed; None if nothing has."""
    found: dict[str, Any] = {  # Any: each member has its own type
        name: getattr(after, name) for name in _MEMBERS if getattr(before, name) != getattr(after, name)
    }
    known = {turn.id: turn for turn in before.turns}
    if turns := tuple(turn for turn in after.turns if known.pop(turn.id, None) != turn):
        found["turns"] = turns
    if known:
        found["ended"] = tuple(known)
    return Change(now=after.now, **found) if found else None
