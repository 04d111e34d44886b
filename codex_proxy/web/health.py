"""GET /health: the process is alive. GET /ready: a turn could run now. Neither needs a key."""

import msgspec
from aiohttp import web

from codex_proxy import __version__
from codex_proxy.web import errors
from codex_proxy.web.server import SERVER

_RETRY_AFTER = "2"


class Health(msgspec.Struct, frozen=True):
    """Whether turns can run; if not, `reason` says why."""

    status: str
    version: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET


async def health(_: web.Request) -> web.Response:
    """Return 200, always."""
    return errors.json_response(msgspec.json.encode(Health("ok", version=__version__)))


async def ready(request: web.Request) -> web.Response:
    """Return 200, or 503 and the reason."""
    trouble = request.app[SERVER].trouble()
    if trouble is None:
        return errors.json_response(msgspec.json.encode(Health("ready")))
    answer = errors.json_response(msgspec.json.encode(Health("not ready", reason=trouble)), 503)
    answer.headers["Retry-After"] = _RETRY_AFTER
    return answer
