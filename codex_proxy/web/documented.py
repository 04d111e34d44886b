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

    def json(type_: Any) -> dict[str, Any]:
        return {"application/json": {"schema": schema[type_]}}

    def asked(type_: Any) -> dict[str, Any]:
        return {"required": True, "content": json(type_)}

    item = name | {"name": "item"}
    response, prompt = asked(request_body.Body), asked(completions_request.Body)
    told = {"schema": {"type": "string"}, "x-event-schema": schema[TextCompletion]}
    text = json(TextCompletion) | {"text/event-stream": told}
    one, list_, deleted = json(Conversation), json(ItemList), json(ConversationDeleted)
    return {
        "/v1/completions": {
            "post": operation("createCompletion", "Run a chat turn (legacy text completion)", text, requestBody=prompt),
        },
        "/v1/responses/compact": {
            "post": operation("compactResponse", "Compact a conversation", json(CompactedResponse), requestBody=asked(CompactBody)),
        },
        "/v1/responses/input_tokens": {
            "post": operation("countInputTokens", "Count the input tokens of a request", json(InputTokens), requestBody=response),
        },
        "/v1/conversations": {
            "post": operation("createConversation", "Create a conversation", one, requestBody=asked(CreateBody)),
        },
        "/v1/conversations/{id}": {
            "get": operation("getConversation", "Get a conversation", one, parameters=[name]),
            "post": operation("updateConversation", "Update its metadata", one, parameters=[name], requestBody=asked(UpdateBody)),
            "delete": operation("deleteConversation", "Delete a conversation and its items", deleted, parameters=[name]),
        },
        "/v1/conversations/{id}/items": {
            "get": operation("listConversationItems", "List the items of a conversation", list_, parameters=[name, *query_page]),
            "post": operation("createConversationItems", "Add items", list_, parameters=[name], requestBody=asked(ItemsBody)),
        },
        "/v1/conversations/{id}/items/{item}": {
            "get": operation(
                "getConversationItem",
                "Get one of its items",
                {"application/json": {"schema": {"type": "object"}}},
                parameters=[name, item],
            ),
            "delete": operation("deleteConversationItem", "Delete an item from a conversation", one, parameters=[name, item]),
        },
    }
