"""Items that a request names only by id: item_reference, even without its type.

They refer to items of stored responses and conversations.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from codex_proxy.dialects.responses import item_ids, stored
from codex_proxy.errors import ItemNotFound
from codex_proxy.history import Verbatim

_KIND = "item_reference"
_Input = str | list[dict[str, Any]] | None  # Any: JSON


class _Maybe(msgspec.Struct, frozen=True):
    type: Any = None  # Any: as the client sent it, like the id
    id: Any = None
    role: Any = None


class _Asked(msgspec.Struct, frozen=True):
    input: str | list[_Maybe] = ""


def wanted(raw: bytes | bytearray) -> tuple[str, ...]:
    """Return the ids that a body refers to, in order; empty if the body cannot be read."""
    if b'"id"' not in raw:
        return ()
    try:
        given = msgspec.json.decode(raw, type=_Asked).input
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()
    names = (str(item.id) for item in given if isinstance(item, _Maybe) and _is_reference(item.type, item.role, item.id))
    return tuple(dict.fromkeys(names))


def replaced(given: _Input, kept: Mapping[str, dict[str, Any]]) -> _Input:
    """Return the input with each reference replaced by its item. Raises ItemNotFound."""
    if not isinstance(given, list):
        return given
    return [_kept(item, kept) if _is_reference(item.get("type"), item.get("role"), item.get("id")) else item for item in given]


def _is_reference(kind: object, role: object, name: object) -> bool:
    return kind == _KIND or (kind is None and role is None and isinstance(name, str))


def _kept(item: dict[str, Any], kept: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    found = kept.get(str(item.get("id")))
    if found is None:
        raise not_found(item.get("id"))
    return found


def responses_of(names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Map the responses that should have these items to the ids of their items."""
    return _by_place(names, item_ids.response_of)


def conversations_of(names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Map the conversations that these items were added to, to the ids of their items."""
    return _by_place(names, item_ids.conversation_of)


def _by_place(names: Iterable[str], place_of: Callable[[str], str | None]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for name in names:
        if place := place_of(name):
            found.setdefault(place, set()).add(name)
    return {place: frozenset(theirs) for place, theirs in found.items()}


class _Response(msgspec.Struct):
    output: list[dict[str, Any]]  # Any: JSON


def in_output(names: frozenset[str], body: bytes) -> dict[str, dict[str, Any]]:
    """Return the items with these ids in the output of a stored response."""
    return _named(names, msgspec.json.decode(body, type=_Response).output)


def in_input(names: frozenset[str], given: bytes) -> dict[str, dict[str, Any]]:
    """Return the items with these ids in a stored response's input."""
    return _named(names, msgspec.json.decode(given, type=list[dict[str, Any]]))


def _named(names: frozenset[str], items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(item["id"]): item for item in items if item.get("id") in names}


def is_reasoning(name: str) -> bool:
    return name.startswith("rs_")


def with_encrypted(found: dict[str, dict[str, Any]], body: bytes, conversation: Sequence[bytes]) -> dict[str, dict[str, Any]]:
    """Add encrypted content to reasoning items: the conversation has it, the response shown to the client may not."""
    output = msgspec.json.decode(body, type=_Response).output
    thoughts = [str(item.get("id")) for item in output if item.get("type") == "reasoning"]
    encrypted = _encrypted(conversation)
    if len(encrypted) != len(thoughts):
        return found
    texts = dict(zip(thoughts, encrypted, strict=True))
    return {name: item | {"encrypted_content": texts[name]} if name in texts else item for name, item in found.items()}


class _Raw(msgspec.Struct):
    type: str = ""
    encrypted_content: str | None = None


def _encrypted(conversation: Sequence[bytes]) -> list[str | None]:
    """Return the encrypted content of each reasoning item in the answer: what a conversation's parts after the first have added."""
    recorded = (item for item in stored.decode_conversation(conversation[1:]) if isinstance(item, Verbatim))
    raw = (msgspec.json.decode(item.item, type=_Raw) for item in recorded)
    return [item.encrypted_content for item in raw if item.type == "reasoning"]


def not_found(item_id: object) -> ItemNotFound:
    """Return the error in OpenAI's words."""
    name = str(item_id)[:100]
    return ItemNotFound(
        f"Item with id {name!r} not found. Items are kept with the stored responses and the conversations of your key: "
        "send the item itself, or use previous_response_id.",
        param="input",
    )
