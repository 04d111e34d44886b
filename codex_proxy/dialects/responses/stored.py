"""The stored form of a response, and reading it back: conversation, input items, the end written for it after a crash."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from codex_proxy.dialects import bounds
from codex_proxy.dialects.responses import item_ids
from codex_proxy.dialects.responses.updates import Compacted, Given, since_compaction
from codex_proxy.errors import InvalidRequest

PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "mcp_call": "mcp",
    "web_search_call": "ws",
    "compaction": "cmp",
}


class ItemList(msgspec.Struct, frozen=True):
    """A page of input items."""

    data: list[dict[str, Any]]  # Any: as in the request, with an id
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: Literal["list"] = "list"


class Deleted(msgspec.Struct, frozen=True):
    """The answer to a deletion."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


def encode_conversation(history: Sequence[Given | Compacted]) -> bytes:
    return msgspec.json.encode(history)


def decode_conversation(parts: Sequence[bytes]) -> tuple[Given, ...]:
    """Decode the conversation that a turn started with, and the parts that it added, from the last compaction on."""
    return since_compaction(itertools.chain.from_iterable(map(_history.decode, parts)))


_history = msgspec.json.Decoder(tuple[Given | Compacted, ...])


def input_items(given: str | list[dict[str, Any]] | None, response_id: str) -> bytes:
    """Return a request's input as a JSON array of items, each with an id."""
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return msgspec.json.encode([_with_id(item, response_id, number) for number, item in enumerate(given or [])])


def page(kept: bytes, *, after: str | None, limit: int, newest_first: bool) -> bytes:
    """Return a page of items as JSON: at most `limit` items, and PAGE_BYTES, after the item `after`, in the requested order.

    Of all other items only the ids are read: the input may have many megabytes. Raises InvalidRequest if there is no item `after`:
    a first page in its place would make a client loop.
    """
    items = msgspec.json.decode(kept, type=list[msgspec.Raw])
    if newest_first:
        items.reverse()
    start = next((place + 1 for place, item in enumerate(items) if _id_of(item) == after), None) if after else 0
    if start is None:
        raise InvalidRequest("Invalid value for 'after': there is no item with that id.", param="after")
    found: list[Any] = items[start : start + limit]  # Any: msgspec.Raw, written as it is
    del found[max(1, sum(size <= bounds.PAGE_BYTES for size in itertools.accumulate(len(memoryview(item)) for item in found))) :]
    ids = [_id_of(item) for item in found]
    more = start + len(found) < len(items)
    return msgspec.json.encode(ItemList(found, ids[0] if ids else None, ids[-1] if ids else None, more))


def _id_of(item: msgspec.Raw) -> Any:  # Any: the client's own id may be null
    return msgspec.json.decode(item, type=_Identified).id


class _Identified(msgspec.Struct):
    id: Any  # Any: the client's own id may be null


def ended_body(body: bytes, status: str, code: str | None = None, message: str = "") -> bytes:
    """Return a stored response object with an end that did not come from its turn: failed with a code, or cancelled."""
    response: dict[str, Any] = msgspec.json.decode(body)
    response["status"] = status
    if code is not None:
        response["error"] = {"code": code, "message": message}
    return msgspec.json.encode(response)


def whole_stream(body: bytes) -> list[tuple[str, bytes]]:
    """Return the shortest stream for an ended response: the types and the JSON of its events."""
    ended: dict[str, Any] = msgspec.json.decode(body)
    created = ended | {"status": "in_progress", "output": [], "usage": None, "error": None, "completed_at": None}
    last = ended["status"] if ended["status"] in ("completed", "failed") else "incomplete"
    told = ((f"response.{name}", response) for name, response in (("created", created), ("in_progress", created), (last, ended)))
    return [
        (name, msgspec.json.encode({"type": name, "sequence_number": number, "response": response}))
        for number, (name, response) in enumerate(told)
    ]


def is_background(body: bytes) -> bool:
    """Return whether a stored response was requested with background=true."""
    return msgspec.json.decode(body, type=_Background).background


class _Background(msgspec.Struct):
    background: bool = False


def failed_event(body: bytes, number: int) -> bytes:
    """Return the event that ends the stream of a response with this body."""
    event = {"type": "response.failed", "sequence_number": number, "response": msgspec.Raw(body)}
    return msgspec.json.encode(event)


def _with_id(item: dict[str, Any], response_id: str, number: int) -> dict[str, Any]:
    kind = str(item.get("type", "message"))
    named = item_ids.of_input(PREFIXES.get(kind, "item"), response_id, number)
    return {"id": named, "type": kind} | with_parts(item)


def with_parts(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item in the API's form: a message's text as a content part."""
    content = item.get("content")
    if item.get("type", "message") != "message" or not isinstance(content, str):
        return item
    if item.get("role") == "assistant":
        return item | {"content": [{"type": "output_text", "text": content, "annotations": []}]}
    return item | {"content": [{"type": "input_text", "text": content}]}
