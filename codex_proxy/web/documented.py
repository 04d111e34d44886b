"""The routes in /openapi.json other than those that run a turn in one of the two dialects."""

from collections.abc import Callable, Sequence
from typing import Any

from codex_proxy.dialects.completions import request as completions_request
from codex_proxy.dialects.completions.answer import TextCompletion
from codex_proxy.dialects.responses import request_body
from codex_proxy.dialects.responses.compaction import CompactBody, CompactedResponse
from codex_proxy.dialects.responses.conversations import Conversation, ConversationDeleted, CreateBody, ItemsBody, UpdateBody
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.socket_messages import ErrorEvent, Steer, SteerAccepted, SteerFailed, SteerPending
from codex_proxy.dialects.responses.stored import ItemList
from codex_proxy.dialects.tokens import InputTokens

TYPES = (
    CreateBody,
    UpdateBody,
    ItemsBody,
    Conversation,
    ConversationDeleted,
    InputTokens,
    completions_request.Body,
    TextCompletion,
    CompactBody,
    CompactedResponse,
    ErrorEvent,
    Steer,
    SteerAccepted,
    SteerPending,
    SteerFailed,
)
_TOLD = (StreamEvent, ErrorEvent, SteerAccepted, SteerPending, SteerFailed)
Operation = Callable[..., dict[str, Any]]  # Any: JSON, as everywhere in this module


def socket(schema: dict[Any, dict[str, Any]], error: dict[str, Any]) -> dict[str, Any]:
    """Describe the WebSocket of /v1/responses, which OpenAPI cannot express: its messages are listed beside its handshake."""
    envelope = {"type": {"const": "response.create"}, "stream_id": {"type": "string"}}
    create = {"allOf": [schema[request_body.Body], {"properties": envelope, "required": ["type"]}]}
    steer = {"allOf": [schema[Steer], {"properties": {"type": {"const": "response.steer"}}, "required": ["type"]}]}
    upgraded = {
        "description": "A WebSocket; each message is JSON, and each event has the stream_id of its request",
        "x-client-messages": {"anyOf": [create, steer]},
        "x-server-messages": {"anyOf": [schema[kind] for kind in _TOLD]},
    }
    summary = "Run turns over a WebSocket (GET with Upgrade: websocket)"
    return {"get": {"operationId": "connectResponses", "summary": summary, "responses": {"101": upgraded, "default": error}}}


def paths(
    schema: dict[Any, dict[str, Any]], operation: Operation, name: dict[str, Any], query_page: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the paths. `operation` builds one from a name, a summary, its answer's content, etc.; `name` is an id in a path."""
    compacted, counted = _json(schema[CompactedResponse]), _json(schema[InputTokens])
    response, prompt = _asked(schema[request_body.Body]), _asked(schema[completions_request.Body])
    told = {"schema": {"type": "string"}, "x-event-schema": schema[TextCompletion]}
    text = _json(schema[TextCompletion]) | {"text/event-stream": told}
    return {
        "/v1/completions": {
            "post": operation("createCompletion", "Run a chat turn (legacy text completion)", text, requestBody=prompt),
        },
        "/v1/responses/compact": {
            "post": operation("compactResponse", "Compact a conversation", compacted, requestBody=_asked(schema[CompactBody])),
        },
        "/v1/responses/input_tokens": {
            "post": operation("countInputTokens", "Count the input tokens of a request", counted, requestBody=response),
        },
        **_of_conversations(schema, operation, name, query_page),
    }


def _of_conversations(
    schema: dict[Any, dict[str, Any]], operation: Operation, name: dict[str, Any], query_page: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    one, list_, deleted = _json(schema[Conversation]), _json(schema[ItemList]), _json(schema[ConversationDeleted])
    create, update, add = _asked(schema[CreateBody]), _asked(schema[UpdateBody]), _asked(schema[ItemsBody])
    item, anything = name | {"name": "item"}, _json({"type": "object"})
    return {
        "/v1/conversations": {
            "post": operation("createConversation", "Create a conversation", one, requestBody=create),
        },
        "/v1/conversations/{id}": {
            "get": operation("getConversation", "Get a conversation", one, parameters=[name]),
            "post": operation("updateConversation", "Update its metadata", one, parameters=[name], requestBody=update),
            "delete": operation("deleteConversation", "Delete a conversation and its items", deleted, parameters=[name]),
        },
        "/v1/conversations/{id}/items": {
            "get": operation("listConversationItems", "List the items of a conversation", list_, parameters=[name, *query_page]),
            "post": operation("createConversationItems", "Add items", list_, parameters=[name], requestBody=add),
        },
        "/v1/conversations/{id}/items/{item}": {
            "get": operation("getConversationItem", "Get one of its items", anything, parameters=[name, item]),
            "delete": operation("deleteConversationItem", "Delete an item from a conversation", one, parameters=[name, item]),
        },
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _asked(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": _json(schema)}
