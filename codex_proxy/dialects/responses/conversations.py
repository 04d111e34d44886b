"""The Conversations API: bodies, objects, and the items of a conversation. OpenAI API reference, "Conversations"."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec

from codex_proxy.dialects import body
from codex_proxy.dialects.common import Metadata
from codex_proxy.dialects.responses import stored
from codex_proxy.dialects.responses.replay import history_of
from codex_proxy.dialects.responses.updates import Given
from codex_proxy.errors import InvalidRequest, ProxyError

AT_A_TIME = 20  # items that one request may add, as in the API
_Item = dict[str, Any]  # Any: JSON
_Items = Annotated[list[_Item], msgspec.Meta(max_length=AT_A_TIME)]
_LONGEST_ID = 256  # characters
_WITH_STATUS = ("message", "function_call", "function_call_output", "custom_tool_call_output")


class CreateBody(msgspec.Struct, frozen=True):
    """POST /v1/conversations."""

    items: _Items | None = None
    metadata: Metadata | None = None


class UpdateBody(msgspec.Struct, frozen=True):
    """POST /v1/conversations/{id}."""

    metadata: Metadata | None


class ItemsBody(msgspec.Struct, frozen=True):
    """POST /v1/conversations/{id}/items."""

    items: Annotated[_Items, msgspec.Meta(min_length=1)]


class Conversation(msgspec.Struct, frozen=True):
    id: str
    created_at: int
    metadata: dict[str, str]
    object: Literal["conversation"] = "conversation"


class ConversationDeleted(msgspec.Struct, frozen=True):
    """The answer to a deletion."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: bool = True


class Item(msgspec.Struct, frozen=True):
    """An item as stored in a conversation: its JSON, and its id, unique in the conversation."""

    id: str
    content: bytes


def decode_create(raw: bytes | bytearray) -> tuple[dict[str, str], bytes]:
    """Decode the body of a creation; returns the metadata, and the items as a JSON array. Raises what `decode_items` does."""
    asked = body.decode(raw, CreateBody)
    return asked.metadata or {}, _checked(asked.items or [])


def decode_items(raw: bytes | bytearray) -> bytes:
    """Decode a body with items, which must be valid response input, into a JSON array.

    Raises InvalidRequest, UnsupportedParameter.
    """
    return _checked(body.decode(raw, ItemsBody).items)


def _checked(given: list[_Item]) -> bytes:
    history_of(given, "items")
    return msgspec.json.encode(given)


def decode_update(raw: bytes | bytearray) -> UpdateBody:
    """Decode the body of an update. Raises InvalidRequest."""
    return body.decode(raw, UpdateBody)


def items(given: bytes, taken: set[str], new_id: Callable[[str], str]) -> tuple[Item, ...]:
    """Convert a JSON array of items to the API's form. Ids that are missing or in `taken` are replaced by `new_id(prefix)`."""
    return tuple(_item(item, taken, new_id) for item in msgspec.json.decode(given, type=list[_Item]))


def given_ids(given: bytes) -> list[str]:
    """The ids that items in a JSON array have, where they could be kept."""
    named = msgspec.json.decode(given, type=list[_Named])
    return [one.id for one in named if isinstance(one.id, str) and 0 < len(one.id) <= _LONGEST_ID]


class _Named(msgspec.Struct):
    id: Any = None  # Any: the client's own


def _item(item: _Item, taken: set[str], new_id: Callable[[str], str]) -> Item:
    kind = item.get("type") or "message"
    name = item.get("id")
    if not isinstance(name, str) or not name or len(name) > _LONGEST_ID or name in taken:
        name = new_id(stored.PREFIXES.get(kind, "item"))
    taken.add(name)
    whole = {"id": name, "type": kind} | stored.with_parts(item) | {"id": name, "type": kind}
    if kind in _WITH_STATUS and not item.get("status"):
        whole["status"] = "completed"
    return Item(name, msgspec.json.encode(whole))


def as_history(contents: Sequence[bytes]) -> tuple[Given, ...]:
    """Return the history that a response in the conversation starts with. Raises InvalidRequest for an unusable item."""
    try:
        return history_of([msgspec.json.decode(content, type=_Item) for content in contents], "items")
    except ProxyError as error:  # accepted by an earlier version
        raise InvalidRequest(f"The conversation has an item that cannot be used: {error.message}", param="conversation") from error


def array(contents: Sequence[bytes]) -> bytes:
    """Join items into a JSON array."""
    return b"[" + b",".join(contents) + b"]"


def listed(items: Sequence[Item], *, has_more: bool = False) -> bytes:
    """Return a list object of these items, as JSON."""
    data: list[Any] = [msgspec.Raw(item.content) for item in items]  # Any: written as it is
    ids = [item.id for item in items]
    return msgspec.json.encode(stored.ItemList(data, ids[0] if ids else None, ids[-1] if ids else None, has_more))
