"""Items that a request names by their ids alone: item_reference, also without its type. They stand for items of kept responses."""

from collections.abc import Mapping
from typing import Any

import msgspec

from codex_proxy.errors import ItemNotFound

_KIND = "item_reference"


class _Maybe(msgspec.Struct, frozen=True):
    type: Any = None  # Any: as the client has it, and so is the id
    id: Any = None
    role: Any = None


class _Asked(msgspec.Struct, frozen=True):
    input: str | list[_Maybe] = ""


def wanted(raw: bytes | bytearray) -> frozenset[str]:
    """The ids that a body names so; none, if it is no body that can be read."""
    if b'"id"' not in raw:
        return frozenset()
    try:
        given = msgspec.json.decode(raw, type=_Asked).input
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return frozenset()
    return frozenset(str(item.id) for item in given if isinstance(item, _Maybe) and _is_reference(item.type, item.role, item.id))


def replaced(given: str | list[dict[str, Any]], kept: Mapping[str, dict[str, Any]]) -> str | list[dict[str, Any]]:
    """The input with the items that it names. Raises ItemNotFound."""
    if isinstance(given, str):
        return given
    return [_kept(item, kept) if _is_reference(item.get("type"), item.get("role"), item.get("id")) else item for item in given]


def _is_reference(kind: object, role: object, name: object) -> bool:
    return kind == _KIND or (kind is None and role is None and isinstance(name, str))


def _kept(item: dict[str, Any], kept: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    found = kept.get(str(item.get("id")))
    if found is None:
        raise not_found(item)
    return found


def not_found(item: dict[str, Any]) -> ItemNotFound:
    """In OpenAI's words."""
    name = str(item.get("id"))[:100]
    return ItemNotFound(
        f"Item with id {name!r} not found. Items are kept with the responses of your key that are stored: "
        "send the item itself, or use previous_response_id.",
        param="input",
    )
