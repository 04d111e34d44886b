"""GET /v1/models and /v1/models/{id}: the CLI's catalogue, and every `<model> <effort>`."""

from typing import Literal

import msgspec
from aiohttp import web

from codex_proxy.catalog import Model
from codex_proxy.errors import ModelNotFound
from codex_proxy.web import errors
from codex_proxy.web.server import SERVER

_CREATED = 1_700_000_000  # the CLI tells no date, and clients want a number that does not change
_OWNER = "openai"


class ModelExtras(msgspec.Struct, frozen=True):
    """What the OpenAI API has no member for. `reasoning_effort`: what a request with this name gets by default."""

    model: str
    reasoning_effort: str | None
    reasoning_efforts: tuple[str, ...]
    input_modalities: tuple[str, ...]


class ModelEntry(msgspec.Struct, frozen=True):
    """A name that a request may use."""

    id: str
    x_codex: ModelExtras
    object: Literal["model"] = "model"
    created: int = _CREATED
    owned_by: str = _OWNER


class ModelList(msgspec.Struct, frozen=True):
    """All of them, in the CLI's order."""

    data: tuple[ModelEntry, ...]
    object: Literal["list"] = "list"


async def list_all(request: web.Request) -> web.Response:
    """All that the key may use, in the CLI's order."""
    server = request.app[SERVER]
    scope = server.check_key(request).scope
    names = [name for name in server.facts().catalog.names() if scope.has_model(name[1].id)]
    return errors.json_response(msgspec.json.encode(ModelList(tuple(_entry(*name) for name in names))))


async def show(request: web.Request) -> web.Response:
    """One that the key may use; every name that a request may use is known here, hidden models and mode suffixes too."""
    server = request.app[SERVER]
    scope = server.check_key(request).scope
    name = request.match_info["id"]
    try:
        choice = server.facts().catalog.choose(name)
    except ModelNotFound as error:
        error.param = None
        raise
    if not scope.has_model(choice.model.id):
        raise ModelNotFound(f"This key may not use the model {choice.model.id}. It may use: {', '.join(scope.models)}.")
    return errors.json_response(msgspec.json.encode(_entry(name, choice.model, choice.effort)))


def _entry(name: str, model: Model, effort: str | None) -> ModelEntry:
    return ModelEntry(name, ModelExtras(model.id, effort or model.default_effort, model.efforts, model.modalities))
