"""Which JSON Schemas strict structured output takes: the checker must refuse what the provider would refuse, at its place."""

from typing import Any

import pytest

from codex_proxy.dialects.schema import check_strict
from codex_proxy.errors import InvalidRequest

Schema = dict[str, Any]  # Any: a JSON Schema

_TEXT: Schema = {"type": "string"}


def _object(**properties: Any) -> Schema:  # Any: JSON Schemas
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _nested(depth: int) -> Schema:
    return _TEXT if depth == 0 else _object(a=_nested(depth - 1))


@pytest.mark.parametrize(
    "schema",
    [
        _object(),
        {"type": "object", "additionalProperties": False},
        _object(a=_TEXT, b={"type": "number"}, c={"type": ["string", "null"]}, d={"enum": ["x", None]}, e={"const": 1}),
        _object(a=_object(b=_object(c=_TEXT))),
        _object(a={"type": "array", "items": _object(b=_TEXT), "minItems": 1}),
        _object(a={"anyOf": [_TEXT, _object(b=_TEXT), {"type": "null"}]}),
        _object(a={"$ref": "#/$defs/leaf"}) | {"$defs": {"leaf": _object(b=_TEXT)}},
        _object(a={"$ref": "#"}),
        _object(a={"$ref": "#/definitions/leaf"}) | {"definitions": {"leaf": _TEXT}},
        _object(a=_TEXT | {"pattern": "^a$", "format": "date", "description": "A text."}),
        _object(**{"if": _TEXT, "not": _TEXT, "type": _TEXT, "properties": _TEXT, "items": _TEXT, "anyOf": _TEXT}),
        _object(a=_TEXT) | {"required": ["a", "more"]},
        _nested(9),
    ],
)
def test_a_strict_schema_passes(schema: Schema) -> None:
    check_strict(schema, "schema")


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (None, ""),
        (True, ""),
        ([], ""),
        ("object", ""),
        ({}, ""),
        (_TEXT, ""),
        ({"type": "array", "items": _object()}, ""),
        ({"type": ["object", "null"], "additionalProperties": False}, ""),
        ({"type": "object"}, ""),
        ({"type": "object", "additionalProperties": True}, ""),
        ({"type": "object", "additionalProperties": {}}, ""),
        ({"type": "object", "additionalProperties": 0}, ""),
        (_object() | {"anyOf": [_object()]}, ""),
        (_object(a=_TEXT) | {"required": []}, ""),
        (_object(a=_TEXT) | {"required": "a"}, ""),
        (_object(a=_TEXT, b=_TEXT) | {"required": ["b"]}, ""),
        ({"type": "object", "properties": {"a": _TEXT}, "additionalProperties": False}, ""),
        (_object(a={"type": "object"}), ".properties.a"),
        (_object(a={"properties": {"b": _TEXT}}), ".properties.a"),
        (_object(a=True), ".properties.a"),
        (_object(a=_object(b=_object(c={"type": "object"}))), ".properties.a.properties.b.properties.c"),
        (_object(a={"type": "array", "items": {"type": "object"}}), ".properties.a.items"),
        (_object(a={"type": "array", "items": [_TEXT]}), ".properties.a.items"),
        (_object(a={"anyOf": [_TEXT, {"type": "object"}]}), ".properties.a.anyOf[1]"),
        (_object() | {"$defs": {"leaf": {"type": "object"}}}, ".$defs.leaf"),
        (_object() | {"definitions": {"leaf": {"type": "object"}}}, ".definitions.leaf"),
    ],
)
def test_any_other_is_refused_at_its_place(schema: Any, place: str) -> None:  # Any: any JSON
    assert _refused_at(schema) == f"schema{place}"


@pytest.mark.parametrize(
    "word", ["allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties"]
)
def test_a_word_that_strict_mode_does_not_know_is_refused_where_it_stands(word: str) -> None:
    assert _refused_at(_object() | {word: []}) == "schema"
    assert _refused_at(_object(a=_TEXT | {word: []})) == "schema.properties.a"


@pytest.mark.parametrize("a", [{"type": ["object", "null"]}, {"type": ["object"], "additionalProperties": True}])
def test_an_object_among_the_types_of_a_value_is_an_object_too(a: Schema) -> None:
    assert _refused_at(_object(a=a)) == "schema.properties.a"


def test_a_schema_is_not_nested_without_end() -> None:
    assert (_refused_at(_nested(100)) or "").startswith("schema.properties.a.properties.a.")


def test_a_schema_inside_a_definition_is_counted_from_there() -> None:
    assert _refused_at(_object() | {"$defs": {"deep": _nested(9)}}) is None
    assert (_refused_at(_object() | {"$defs": {"deep": _nested(100)}}) or "").startswith("schema.$defs.deep.")


def test_a_definition_inside_a_schema_is_looked_at_too() -> None:
    inner = _object() | {"$defs": {"leaf": {"type": "object"}}}
    assert _refused_at(_object(a=inner)) == "schema.properties.a.$defs.leaf"


def _refused_at(schema: Any) -> str | None:  # Any: any JSON
    """The place that the refusal names; None: it passes."""
    try:
        check_strict(schema, "schema")
    except InvalidRequest as error:
        return error.param
    return None
