"""Makes a JSON Schema strict without changing its meaning, where possible, so that the provider enforces it.

An optional property becomes required and nullable; its nulls are then removed from the answer by name (`optional_nulls.py`). This
is not possible if null is itself a value for a property of that name, if an object is open, or with keywords that strict mode may
refuse.
"""

import re
from typing import Any

import msgspec

from codex_proxy.dialects.schema import check_strict
from codex_proxy.errors import InvalidRequest

# What strict mode accepts, and what only describes. OpenAI guide "Structured Outputs", "Supported schemas".
_WORDS = frozenset(("type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "$ref", "$defs"))
_BOUNDS = frozenset(("pattern", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"))
_TAKEN = _WORDS | _BOUNDS | {"definitions", "description", "title", "format"}
_DROPPED = frozenset(("default", "examples", "example", "$schema", "$comment", "deprecated", "readOnly", "writeOnly"))
_FORMATS = (
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
)  # a request may have any value here, even an unhashable one: not a set
_TYPES = frozenset(("string", "number", "integer", "boolean", "null"))
_DEFINITION = re.compile(r"#(/(\$defs|definitions)/[^/]+)?")
_MAX_CHOICES = 1000  # of an enum
_NULL = {"type": "null"}
_MAX_DEPTH = 60  # levels to rewrite; strict mode takes 10, and definitions do not count


class Strict(msgspec.Struct, frozen=True):
    """A strict schema. `optional` names the properties for which null means absent."""

    schema: dict[str, Any]
    optional: frozenset[str]


class _Unfit(Exception):
    """The schema cannot be made strict."""


def made_strict(schema: dict[str, Any]) -> Strict | None:
    """Return the schema's strict form; None if there is none with the same meaning."""
    rewriting = _Rewriting()
    try:
        strict = rewriting.schema(schema, 0)
        check_strict(strict, "")
    except (_Unfit, InvalidRequest):
        return None
    if rewriting.optional & rewriting.nullable:
        return None
    return Strict(strict, frozenset(rewriting.optional))


class _Rewriting:
    """Rewrites one schema. `nullable` collects the properties that have null as a value."""

    def __init__(self) -> None:
        self.optional: set[str] = set()
        self.nullable: set[str] = set()

    def schema(self, given: Any, depth: int) -> dict[str, Any]:
        if not isinstance(given, dict) or depth > _MAX_DEPTH:
            raise _Unfit
        kept = {word: value for word, value in given.items() if word not in _DROPPED}
        if not kept.keys() <= _TAKEN or kept.get("format", "date") not in _FORMATS or "(?" in str(kept.get("pattern")):
            raise _Unfit
        if not all(isinstance(kept.get(word, []), list) for word in ("enum", "required", "anyOf")):
            raise _Unfit
        if len(kept.get("enum", [])) > _MAX_CHOICES:
            raise _Unfit
        for group in ("$defs", "definitions"):
            if group in kept:
                kept[group] = {name: self.schema(part, depth + 1) for name, part in _dict(kept[group]).items()}
        if "$ref" in kept:
            return self._reference(kept)
        if "anyOf" in kept:
            if kept.keys() & {"type", "properties", "items", "enum", "const"}:
                raise _Unfit
            return kept | {"anyOf": [self.schema(part, depth + 1) for part in kept["anyOf"]]}
        return self._typed(kept, depth)

    def _reference(self, kept: dict[str, Any]) -> dict[str, Any]:
        """Rewrite a reference: strict mode allows nothing beside it."""
        target = kept["$ref"]
        if not isinstance(target, str) or not _DEFINITION.fullmatch(target):
            raise _Unfit
        beside = {word: value for word, value in kept.items() if word != "$ref"}
        if not beside.keys() <= {"description", "title"}:
            raise _Unfit
        return {"anyOf": [{"$ref": target}], **beside} if beside else {"$ref": target}

    def _typed(self, kept: dict[str, Any], depth: int) -> dict[str, Any]:
        types = kept.get("type")
        names = types if isinstance(types, list) else [types]
        if "object" in names:
            if names not in (["object"], ["object", "null"], ["null", "object"]):
                raise _Unfit
            return self._object(kept, depth)
        if "array" in names:
            if "items" not in kept:
                raise _Unfit
            return kept | {"items": self.schema(kept["items"], depth + 1)}
        if not names or not all(isinstance(name, str) and name in _TYPES for name in names):
            raise _Unfit
        return kept

    def _object(self, kept: dict[str, Any], depth: int) -> dict[str, Any]:
        """Rewrite an object that names its properties and does not allow others."""
        if kept.get("additionalProperties", False) is not False or not (kept.get("properties") or "additionalProperties" in kept):
            raise _Unfit
        required = {name for name in kept.get("required", []) if isinstance(name, str)}
        properties: dict[str, Any] = {}
        for name, part in _dict(kept.get("properties", {})).items():
            properties[name] = self._property(name, self.schema(part, depth + 1), optional=name not in required)
        if not required <= properties.keys():
            raise _Unfit
        return kept | {"properties": properties, "required": list(properties), "additionalProperties": False}

    def _property(self, name: str, part: dict[str, Any], *, optional: bool) -> dict[str, Any]:
        if "$ref" in part or "anyOf" in part:
            choices = part.get("anyOf", [{"$ref": part.get("$ref")}])
            if any(_takes_null(choice) for choice in choices):
                self.nullable.add(name)
                return part
            if not optional:
                self.nullable |= {name} if any("$ref" in choice or "anyOf" in choice for choice in choices) else set()
                return part
            beside = {word: value for word, value in part.items() if word not in ("$ref", "anyOf")}
            part = {"anyOf": [*choices, _NULL], **beside}
        elif _takes_null(part):
            self.nullable.add(name)
            return part
        elif optional:
            part = {"anyOf": [part, _NULL]}
        if optional:
            self.optional.add(name)
        return part


def _takes_null(part: dict[str, Any]) -> bool:
    """Return whether null is a value of this schema, as far as can be told without following references."""
    types = part.get("type")
    null = types == "null" or (isinstance(types, list) and "null" in types)
    return (null and None in part.get("enum", [None])) or any(_takes_null(choice) for choice in part.get("anyOf", ()))


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unfit
    return value
