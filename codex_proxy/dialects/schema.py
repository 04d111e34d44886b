"""Checks JSON Schemas for strict structured output. OpenAI guide "Structured Outputs", "Supported schemas".

The CLI always asks its provider for strict output; a schema that strict mode refuses would fail there, without a place.
"""

from collections.abc import Iterator
from typing import Any

from codex_proxy.dialects.bounds import PROPERTIES, STRICT_DEPTH, Place
from codex_proxy.errors import InvalidRequest

_UNSUPPORTED = ("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "oneOf", "patternProperties")


def check_strict(schema: Any, place: str) -> None:
    """Raise InvalidRequest, with `param` naming the place in the schema, if strict mode refuses the schema."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise InvalidRequest("The root of a strict schema must be an object.", param=place)
    if "anyOf" in schema:
        raise InvalidRequest("The root of a strict schema must not be anyOf.", param=place)
    properties = 0
    waiting: list[tuple[Any, Place, int]] = [(schema, Place(place), 0)]
    while waiting:
        part, where, depth = waiting.pop()
        _check(part, where, depth)
        properties += len(_members(part, "properties"))
        if properties > PROPERTIES:
            raise InvalidRequest(f"A strict schema can have at most {PROPERTIES} properties.", param=place)
        waiting += _inside(part, where, depth)


def _check(schema: Any, where: Place, depth: int) -> None:
    if not isinstance(schema, dict):
        raise InvalidRequest("A strict schema must have an object here.", param=str(where))
    if depth > STRICT_DEPTH:
        raise InvalidRequest(f"A strict schema can be nested at most {STRICT_DEPTH} levels deep.", param=str(where))
    if used := [word for word in _UNSUPPORTED if word in schema]:
        raise InvalidRequest(f"A strict schema must not use {used[0]!r}.", param=str(where))
    type_ = schema.get("type")
    if type_ == "object" or (isinstance(type_, list) and "object" in type_) or "properties" in schema:
        _check_object(schema, where)


def _check_object(schema: dict[str, Any], where: Place) -> None:
    if schema.get("additionalProperties") is not False:
        raise InvalidRequest("A strict schema must have additionalProperties: false in every object.", param=str(where))
    given = schema.get("required", [])
    required = {name for name in given if isinstance(name, str)} if isinstance(given, list) else set()
    missing = next((name for name in _members(schema, "properties") if name not in required), None)
    if missing is not None:
        raise InvalidRequest(f"A strict schema requires every property; {missing[:100]!r} is not in `required`.", param=str(where))


def _inside(schema: dict[str, Any], where: Place, depth: int) -> Iterator[tuple[Any, Place, int]]:
    """Yield the schemas directly inside a schema; depth restarts in definitions."""
    for group in ("$defs", "definitions"):
        yield from ((part, where.then(group, name), 0) for name, part in _members(schema, group).items())
    yield from ((part, where.then("properties", name), depth + 1) for name, part in _members(schema, "properties").items())
    if "items" in schema:
        yield schema["items"], where.then("items"), depth + 1
    choices = schema.get("anyOf", [])
    if isinstance(choices, list):
        yield from ((part, where.then("anyOf", index), depth + 1) for index, part in enumerate(choices))


def _members(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found = schema.get(name, {})
    return found if isinstance(found, dict) else {}
