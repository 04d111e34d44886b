"""GET /v1/models and /v1/models/{id}: the available models, each also in its chat mode.

With ?client_version= the list has `models` beside `data`: what the Codex CLI reads from a provider, in its own form.
"""

from typing import Any, Literal

import msgspec
from aiohttp import web

from codex_proxy import policy
from codex_proxy.catalog import Catalog, Choice
from codex_proxy.errors import ModelNotFound
from codex_proxy.keys import Scope
from codex_proxy.web import errors
from codex_proxy.web.server import SERVER

_CREATED = 1_700_000_000  # the CLI reports no date, and clients want a stable number
_OWNER = "openai"
_OF_OLDER_CLIENTS = {"supports_parallel_tool_calls": True}  # 0.147.0 reads no list without it, 0.163.0 does not report it


class ModelExtras(msgspec.Struct, frozen=True):
    """Members that OpenAI's API does not have. `reasoning_effort` and `mode` are the defaults of requests with this name."""

    model: str
    mode: str
    reasoning_effort: str | None
    reasoning_efforts: tuple[str, ...]
    input_modalities: tuple[str, ...]


class ModelEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model name. `context_length` is in tokens and present if the CLI knows it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    x_codex: ModelExtras
    context_length: int | None = None


class ModelList(msgspec.Struct, frozen=True, omit_defaults=True):
    """All models, the default first. `models` is read by Codex CLIs that use this server."""

    object: Literal["list"]
    data: tuple[ModelEntry, ...]
    models: tuple[dict[str, Any], ...] | None = None  # Any: the CLI's own form


async def list_all(request: web.Request) -> web.Response:
    """List the models that the key may use, its default first."""
    server = request.app[SERVER]
    scope = (await server.admit(request)).scope
    catalog, chosen = server.facts().catalog, server.settings
    names = _names(catalog, scope, efforts=chosen.list_models == "all")
    data = tuple(_entry(name, choice, chosen.default_mode) for name, choice in names)
    manifest = tuple(_manifest(names)) if "client_version" in request.query else None
    return errors.json_response(msgspec.json.encode(ModelList("list", data, manifest)))


async def show(request: web.Request) -> web.Response:
    """Return one model that the key may use; any name valid in a request works, listed or not."""
    server = request.app[SERVER]
    scope = (await server.admit(request)).scope
    name = request.match_info["id"]
    try:
        choice = server.facts().catalog.choose(name)
    except ModelNotFound as error:
        error.param = None
        raise
    if not scope.has_model(choice.model.id):
        raise ModelNotFound(f"This key may not use the model {choice.model.id}. It may use: {', '.join(scope.models)}.")
    return errors.json_response(msgspec.json.encode(_entry(name, choice, server.settings.default_mode)))


def _names(catalog: Catalog, scope: Scope, *, efforts: bool) -> list[tuple[str, Choice]]:
    names = catalog.names(efforts=efforts, first=policy.default_model(catalog.default, scope))
    return [(name, choice) for name, choice in names if scope.has_model(choice.model.id)]


def _entry(name: str, choice: Choice, default_mode: str) -> ModelEntry:
    model = choice.model
    effort = choice.effort or model.default_effort
    extras = ModelExtras(model.id, choice.mode or default_mode, effort, model.efforts, model.modalities)
    return ModelEntry(name, "model", _CREATED, _OWNER, extras, model.context_length)


def _manifest(names: list[tuple[str, Choice]]) -> list[dict[str, Any]]:
    """Return the CLI's own entries under the listed names; a model that the CLI does not know has none."""
    return [
        _OF_OLDER_CLIENTS
        | choice.model.manifest
        | {"slug": name, "display_name": name, "visibility": "list", "priority": place, "upgrade": None}
        | ({"default_reasoning_level": choice.effort} if choice.effort else {})
        for place, (name, choice) in enumerate(names)
        if choice.model.manifest is not None
    ]
