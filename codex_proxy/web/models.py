"""GET /v1/models and /v1/models/{id}: the CLI's catalogue, and every `<model> <effort>`."""

from typing import Any

import msgspec
from aiohttp import web

from codex_proxy.catalog import Model
from codex_proxy.errors import ModelNotFound
from codex_proxy.web import errors
from codex_proxy.web.server import SERVER

_CREATED = 1_700_000_000  # the CLI tells no date, and clients want a number that does not change
_OWNER = "openai"


async def list_all(request: web.Request) -> web.Response:
    """All of them, in the CLI's order."""
    server = request.app[SERVER]
    server.check_key(request)
    names = server.facts().catalog.names()
    entries = [_entry(name, model, effort) for name, model, effort in names]
    return errors.json_response(msgspec.json.encode({"object": "list", "data": entries}))


async def show(request: web.Request) -> web.Response:
    """One of them; every name that a request may use is known here, hidden models and mode suffixes too."""
    server = request.app[SERVER]
    server.check_key(request)
    name = request.match_info["id"]
    try:
        choice = server.facts().catalog.choose(name)
    except ModelNotFound as error:
        error.param = None
        raise
    return errors.json_response(msgspec.json.encode(_entry(name, choice.model, choice.effort)))


def _entry(name: str, model: Model, effort: str | None) -> dict[str, Any]:
    extras = {
        "model": model.id,
        "reasoning_effort": effort or model.default_effort,
        "reasoning_efforts": model.efforts,
        "input_modalities": model.modalities,
    }
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": _OWNER, "x_codex": extras}
