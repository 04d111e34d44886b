"""GET /openapi.json: the OpenAPI 3.1 document of all routes, generated from the structs that decode requests and form answers."""

import functools
from typing import Any

import msgspec
from aiohttp import web

from codex_proxy import __version__
from codex_proxy.dialects.chat import request as chat_request
from codex_proxy.dialects.chat.objects import ChatCompletion, ChatCompletionChunk
from codex_proxy.dialects.common import ErrorBody
from codex_proxy.dialects.responses import request_body
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.objects import Response
from codex_proxy.dialects.responses.stored import Deleted, ItemList
from codex_proxy.web import documented, errors
from codex_proxy.web.console import documented as console_documented
from codex_proxy.web.health import Health
from codex_proxy.web.models import ModelEntry, ModelList

_REF = "#/components/schemas/{name}"
_TYPES = (
    *(chat_request.Body, ChatCompletion, ChatCompletionChunk, request_body.Body, Response, StreamEvent),
    *(ItemList, Deleted, ModelEntry, ModelList, Health, ErrorBody),
    *documented.TYPES,
    *console_documented.TYPES,
)
_QUERY_STREAM = (
    {"name": "stream", "in": "query", "schema": {"type": "boolean"}},
    {"name": "starting_after", "in": "query", "schema": {"type": "integer"}},
)
_QUERY_PAGE = (
    {"name": "after", "in": "query", "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
    {"name": "order", "in": "query", "schema": {"enum": ["asc", "desc"]}},
)
_REFUSED = "Known, and refused by name."  # the docstring of structs that exist only to be refused: not offered
_PACKAGE = b"codex_proxy.dialects."  # msgspec prefixes names that two modules share


async def show(_: web.Request) -> web.Response:
    """Return the document. It needs no key, because it contains none of this server's settings."""
    return errors.json_response(document())


@functools.cache
def document() -> bytes:
    """Return the document as JSON."""
    schemas, components = msgspec.json.schema_components(_TYPES, ref_template=_REF)
    found = {
        "openapi": "3.1.0",
        "info": {"title": "codex-proxy", "version": __version__, "summary": "The Codex CLI behind the OpenAI API."},
        "paths": _paths(dict(zip(_TYPES, schemas, strict=True))),
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}, {}],
    }
    refused = {name for name, component in components.items() if component.get("description") == _REFUSED}
    offered = _without(found, refused | {_REF.format(name=name) for name in refused})
    return msgspec.json.encode(offered).replace(_PACKAGE, b"")


def _without(node: Any, refused: set[str]) -> Any:  # Any: JSON
    """Return the document without some components: their entries, the choices that refer to them, the tags that lead to them."""
    if isinstance(node, dict):
        kept = {name: part for name, part in node.items() if name not in refused and not _leads_to(part, refused)}
        return {name: _without(part, refused) for name, part in kept.items()}
    if isinstance(node, list):
        return [_without(part, refused) for part in node if not (isinstance(part, dict) and _leads_to(part.get("$ref"), refused))]
    return node


def _leads_to(part: Any, refused: set[str]) -> bool:  # Any: JSON
    return isinstance(part, str) and part in refused


def _paths(schema: dict[Any, dict[str, Any]]) -> dict[str, Any]:  # Any: a struct or a union of them
    error = {"description": "Anything that went wrong", "content": _json(schema[ErrorBody])}

    def operation(name: str, summary: str, answer: dict[str, Any], **more: Any) -> dict[str, Any]:
        responses = {"200": {"description": "The answer", "content": answer}, "default": error}
        return {"operationId": name, "summary": summary, "responses": responses, **more}

    def turn(name: str, summary: str, body: Any, whole: Any, event: Any) -> dict[str, Any]:
        asked = {"required": True, "content": _json(schema[body])}
        answer = _json(schema[whole]) | {"text/event-stream": {"schema": {"type": "string"}, "x-event-schema": schema[event]}}
        return {"post": operation(name, summary, answer, requestBody=asked)}

    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    kept = _json(schema[Response])
    again = kept | {"text/event-stream": {"schema": {"type": "string"}, "x-event-schema": schema[StreamEvent]}}
    ready = operation("ready", "Whether turns can run", _json(schema[Health]), security=[])
    ready["responses"]["503"] = {"description": "No turn could run now", "content": _json(schema[Health])}
    return {
        "/v1/chat/completions": turn(
            "createChatCompletion", "Run a turn (Chat Completions)", chat_request.Body, ChatCompletion, ChatCompletionChunk
        ),
        "/v1/responses": turn("createResponse", "Run a turn (Responses)", request_body.Body, Response, StreamEvent)
        | documented.socket(schema, error),
        "/v1/responses/{id}": {
            "get": operation("getResponse", "Get a stored response or replay its events", again, parameters=[name, *_QUERY_STREAM]),
            "delete": operation("deleteResponse", "Delete a stored response", _json(schema[Deleted]), parameters=[name]),
        },
        "/v1/responses/{id}/cancel": {"post": operation("cancelResponse", "Stop a background response", kept, parameters=[name])},
        "/v1/responses/{id}/input_items": {
            "get": operation("listInputItems", "List its input items", _json(schema[ItemList]), parameters=[name, *_QUERY_PAGE])
        },
        "/v1/models": {"get": operation("listModels", "List the models", _json(schema[ModelList]))},
        "/v1/models/{id}": {"get": operation("retrieveModel", "Get a model", _json(schema[ModelEntry]), parameters=[name])},
        "/health": {"get": operation("health", "Whether the process is alive", _json(schema[Health]), security=[])},
        "/ready": {"get": ready},
        "/metrics": {"get": operation("metrics", "Prometheus metrics", {"text/plain": {"schema": {"type": "string"}}})},
        "/openapi.json": {"get": operation("openapi", "This document", _json({"type": "object"}), security=[])},
        **documented.paths(schema, operation, name, _QUERY_PAGE),
        **console_documented.paths(schema, operation, name),
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
