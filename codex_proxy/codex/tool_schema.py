"""Rewrite a tool's JSON Schema into the subset that Codex understands. Pure.

Codex refuses tuples in their old form, drops `prefixItems`, and takes `true`, `const` and an `enum` without a type for strings
(0.147.0 to 0.169.0). What it would lose is expressed in other keywords.
"""

from typing import Any

import msgspec

_DEEPEST = 64  # levels; anything deeper is left as it is
_MARKS = ('"items":[', '"prefixItems":', '"const":', '"enum":', "true")  # a schema without any of these needs no change
_BY_NAME = frozenset(("properties", "$defs", "definitions"))  # tables of schemas
_IN_LISTS = frozenset(("anyOf", "oneOf", "allOf"))
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", list: "array", dict: "object"}


def understood(schema: str) -> str:
    """An equivalent schema that Codex understands. `schema` is JSON text without spaces, as msgspec writes it."""
    if not any(mark in schema for mark in _MARKS):
        return schema
    return msgspec.json.encode(_schema(msgspec.json.decode(schema), 0)).decode()


def _schema(schema: Any, depth: int) -> Any:  # Any: any JSON
    if schema is True:
        return {}
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return schema
    found = {key: _member(key, value, depth + 1) for key, value in schema.items()}
    if "const" in found:
        found.setdefault("enum", [found.pop("const")])
    if "type" not in found and isinstance(enum := found.get("enum"), list):
        kinds = list(dict.fromkeys(_TYPES[type(value)] for value in enum))
        found |= {"type": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
    return _without_tuple(found)


def _member(key: str, value: Any, depth: int) -> Any:
    if key in _BY_NAME and isinstance(value, dict):
        return {name: _schema(part, depth) for name, part in value.items()}
    if (key in _IN_LISTS or key in ("items", "prefixItems")) and isinstance(value, list):
        return [_schema(part, depth) for part in value]
    if key == "items" or (key == "additionalProperties" and value is not True):
        return _schema(value, depth)
    return value


def _without_tuple(found: dict[str, Any]) -> dict[str, Any]:
    """A tuple as an array of anything allowed at any position, with the schema of each position in the description."""
    if isinstance(found.get("prefixItems"), list):
        places, rest = found["prefixItems"], found.get("items", {})
    elif isinstance(found.get("items"), list):
        places, rest = found["items"], found.get("additionalItems", {})
    else:
        return found
    most = found.get("maxItems")
    closed = rest is False or (isinstance(most, int) and most <= len(places))
    told = [f"item {place} fits {msgspec.json.encode(part).decode()}" for place, part in enumerate(places, 1)]
    text = f"An array whose {', '.join(told)}{'; there are no others' if closed else ''}." if told else ""
    description = " ".join(filter(None, (found.get("description"), text)))
    kept = {key: value for key, value in found.items() if key not in ("prefixItems", "additionalItems")}
    items = _any_of(places if closed else [*places, rest])
    return kept | {"type": "array", "items": items} | ({"description": description} if description else {})


def _any_of(options: list[Any]) -> Any:
    different = [option for place, option in enumerate(options) if option not in options[:place]]
    if {} in different or not different:
        return {}
    return {"anyOf": different} if len(different) > 1 else different[0]
