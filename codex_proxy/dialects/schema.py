"""Whether a JSON Schema is one that strict structured output takes. OpenAI guide "Structured Outputs", "Supported schemas".

The CLI always asks its provider for strict output, so what strict mode refuses would fail there, without a place.
"""

from typing import Any

from codex_proxy.errors import InvalidRequest

_UNSUPPORTED = ("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "oneOf", "patternProperties")
_DEEPEST = 12


def check_strict(schema: Any, place: str) -> None:
    """Raises InvalidRequest, `param` naming the place in the schema, for one that strict mode refuses."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise InvalidRequest("A strict schema is an object at its root.", param=place)
    if "anyOf" in schema:
        raise InvalidRequest("A strict schema has no anyOf at its root.", param=place)
    _check(schema, place, 0)


def _check(schema: Any, place: str, depth: int) -> None:
    if not isinstance(schema, dict):
        raise InvalidRequest("A strict schema has an object here.", param=place)
    if depth > _DEEPEST:
        raise InvalidRequest(f"A strict schema is nested at most {_DEEPEST} deep.", param=place)
    if used := [word for word in _UNSUPPORTED if word in schema]:
        raise InvalidRequest(f"A strict schema has no {used[0]!r}.", param=place)
    type_ = schema.get("type")
    if type_ == "object" or (isinstance(type_, list) and "object" in type_) or "properties" in schema:
        _check_object(schema, place)
    for group in ("$defs", "definitions"):
        for name, part in _members(schema, group).items():
            _check(part, f"{place}.{group}.{name}", 0)
    for name, part in _members(schema, "properties").items():
        _check(part, f"{place}.properties.{name}", depth + 1)
    if "items" in schema:
        _check(schema["items"], f"{place}.items", depth + 1)
    choices = schema.get("anyOf", [])
    for index, part in enumerate(choices if isinstance(choices, list) else []):
        _check(part, f"{place}.anyOf[{index}]", depth + 1)


def _check_object(schema: dict[str, Any], place: str) -> None:
    if schema.get("additionalProperties") is not False:
        raise InvalidRequest("A strict schema has additionalProperties: false in every object.", param=place)
    required = schema.get("required", [])
    missing = [name for name in _members(schema, "properties") if not isinstance(required, list) or name not in required]
    if missing:
        raise InvalidRequest(f"A strict schema requires every property; {missing[0]!r} is not in `required`.", param=place)


def _members(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found = schema.get(name, {})
    return found if isinstance(found, dict) else {}
