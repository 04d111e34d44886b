"""POST /x_codex/turns/{id}/cancel: stop a turn, whichever dialect asked for it; one's own or, as the operator, anyone's."""

import msgspec
from aiohttp import web

from codex_proxy.errors import TurnNotFound
from codex_proxy.web import errors
from codex_proxy.web.console.status import BOARD


class Stopping(msgspec.Struct, frozen=True):
    """The turn is being stopped. Its client receives the end as usual."""

    id: str
    stopping: bool = True


async def cancel(request: web.Request) -> web.Response:
    """Stop a turn. One that has ended, or that the caller may not see, is not found."""
    board = request.app[BOARD]
    view = await board.view_of(request)
    turn_id = request.match_info["id"]
    job = view.turn(turn_id)
    if job is None:
        raise TurnNotFound(f"No turn with id {turn_id[:100]!r} is running or waiting. It may have ended already.")
    board.server.jobs.stop(job)
    return errors.json_response(msgspec.json.encode(Stopping(turn_id)))
