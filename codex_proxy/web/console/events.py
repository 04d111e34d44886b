"""GET /x_codex/events: the status as a stream of server-sent events, the whole of it first, then what changes.

Nothing is kept for a reader: each event tells what is so now against what it was told last, so a slow one gets fewer and
is cut when it takes none. The stream ends by itself now and then, and its reader comes again: so a key is looked at again.
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

LIFE = 100.0  # seconds; less than the shortest deadline that a request can have here (web/gates/limits.py)
_GATHERED_FOR = 0.2  # seconds: a person reads no faster
_LOOK_AGAIN = 1.0  # seconds; workers and logins change without a ring
_SHARED_AT_MOST = 64  # of each
_STALL_TIMEOUT = 10.0  # seconds that one write may take

_MEMBERS = ("ready", "reason", "login", "quota", "workers", "queue")  # of Status, that may change


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it was told last: members of Status, turns that are new or different, and the ids of those that have ended."""

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
    """What is told to many at once is made once: the status for each sight of it, the frame for each step from one to the next."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, bool], tuple[int, float, Status]] = {}
        self._made: dict[tuple[int, int], tuple[Status, Status, str | None]] = {}

    def status(self, view: View, number: int, now: float) -> Status:
        """As of the ring of this number; it may be half a look old."""
        known = self._latest.get(view.sight)
        if known is not None and known[0] == number and now - known[1] < _LOOK_AGAIN / 2:
            return known[2]
        if len(self._latest) >= _SHARED_AT_MOST:
            self._latest.clear()
        status = view.status()
        self._latest[view.sight] = (number, now, status)
        return status

    def change(self, before: Status, after: Status) -> str | None:
        """The frame's data; None when nothing has changed."""
        known = self._made.get((id(before), id(after)))
        if known is not None:  # both are held by it, so the ids are theirs
            return known[2]
        if len(self._made) >= _SHARED_AT_MOST:
            self._made.clear()
        change = difference(before, after)
        data = None if change is None else msgspec.json.encode(change).decode()
        self._made[id(before), id(after)] = (before, after, data)
        return data


FRAMES = web.AppKey("console_frames", Frames)


async def stream(request: web.Request) -> web.StreamResponse:
    """An event `status` with a Status, then an event `change` for each Change."""
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
    """What has changed; None when nothing has."""
    found: dict[str, Any] = {  # Any: of each member its own
        name: getattr(after, name) for name in _MEMBERS if getattr(before, name) != getattr(after, name)
    }
    known = {turn.id: turn for turn in before.turns}
    if turns := tuple(turn for turn in after.turns if known.pop(turn.id, None) != turn):
        found["turns"] = turns
    if known:
        found["ended"] = tuple(known)
    return Change(now=after.now, **found) if found else None
