"""GET /x_codex/events: the status as a stream of server-sent events, the whole of it first, then what changes.

Nothing is kept for a reader: each event tells what is so now against what it was told last, so a slow one gets fewer and
is cut when it takes none. The stream ends by itself now and then, and its reader comes again: so a key is looked at again.
"""

import asyncio
from typing import Any

import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse
from msgspec import UNSET, UnsetType

from codex_proxy.web import sse
from codex_proxy.web.console.status import BOARD, Board, Login, Queue, Status, TurnNow, View, Workers

LIFE = 100.0  # seconds; less than the shortest deadline that a request can have here (web/gates/deadline.py)
_GATHERED_FOR = 0.1  # seconds: a person reads no faster
_LOOK_AGAIN = 1.0  # seconds; workers and logins change without a ring
_STALL_TIMEOUT = 10.0  # seconds that one write may take

_MEMBERS = ("ready", "reason", "login", "workers", "queue")  # of Status, that may change


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it was told last: members of Status, turns that are new or different, and the ids of those that have ended."""

    now: float
    ready: bool | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET
    login: Login | UnsetType | None = UNSET
    workers: Workers | UnsetType = UNSET
    queue: Queue | UnsetType = UNSET
    turns: tuple[TurnNow, ...] | UnsetType = UNSET
    ended: tuple[str, ...] | UnsetType = UNSET


async def stream(request: web.Request) -> web.StreamResponse:
    """An event `status` with a Status, then an event `change` for each Change."""
    board = request.app[BOARD]
    view = await board.view_of(request)
    board.server.followers.check(view.owner)
    with board.server.followers.one(view.owner):
        async with await sse.opened(request, {}, _STALL_TIMEOUT) as answer:
            await _tell(answer, board, view)
            return answer


async def _tell(answer: EventSourceResponse, board: Board, view: View) -> None:
    changes = board.server.jobs.changes
    until = asyncio.get_running_loop().time() + LIFE
    seen = changes.number
    told = view.status()
    await answer.send(msgspec.json.encode(told).decode(), event="status")
    while not board.server.ending and asyncio.get_running_loop().time() < until:
        await changes.after(seen, _LOOK_AGAIN)
        if changes.number > seen:
            await asyncio.sleep(_GATHERED_FOR)
        seen = changes.number
        is_now = view.status()
        if (change := difference(told, is_now)) is not None:
            await answer.send(msgspec.json.encode(change).decode(), event="change")
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
