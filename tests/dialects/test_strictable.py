"""Schemas that can be made strict, and those whose meaning would change."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from codex_proxy.dialects.schema import check_strict
from codex_proxy.dialects.strictable import made_strict

_TEXT = {"type": "string"}
_NULL = {"type": "null"}
_KEYWORDS = ("type", "properties", "required", "items", "anyOf", "enum", "$ref", "$defs", "format", "pattern", "default", "a")


def _object(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:  # Any: JSON
    return {"type": "object", "properties": properties, "required": list(required), **more}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return _object(properties, *properties, additionalProperties=False)


_POINT = _object({"x": {"type": "number"}, "label": {"$ref": "#/$defs/L", "description": "d"}}, "x")
_PYDANTIC = {  # what LangChain and instructor make of a model
    "$defs": {"L": {"enum": ["a", "b"], "title": "L", "type": "string"}, "P": _POINT},
    "title": "Shape",
    "description": "A shape.",
    **_object(
        {
            "name": {"title": "Name", "type": "string"},
            "points": {"items": {"$ref": "#/$defs/P"}, "type": "array", "default": []},
            "note": {"anyOf": [_TEXT, _NULL], "default": None},
            "size": {"type": "integer", "default": 3, "minimum": 0},
        },
        "name",
    ),
}


@pytest.mark.parametrize(
    ("schema", "strict", "optional"),
    [
        (_object({"a": _TEXT}, "a"), _closed({"a": _TEXT}), set()),
        (_object({"a": _TEXT}), _closed({"a": {"anyOf": [_TEXT, _NULL]}}), {"a"}),
        (_object({}, additionalProperties=False), _closed({}), set()),
        (_object({"a": {"type": ["string", "null"]}}), _closed({"a": {"type": ["string", "null"]}}), set()),
        (
            _object({"a": _object({"b": {"enum": ["x"], "type": "string"}})}, "a"),
            _closed({"a": _closed({"b": {"anyOf": [{"enum": ["x"], "type": "string"}, _NULL]}})}),
            {"b"},
        ),
        (
            _PYDANTIC,
            {
                "$defs": {
                    "L": {"enum": ["a", "b"], "title": "L", "type": "string"},
                    "P": _closed({"x": {"type": "number"}, "label": {"anyOf": [{"$ref": "#/$defs/L"}, _NULL], "description": "d"}}),
                },
                "title": "Shape",
                "description": "A shape.",
                **_closed(
                    {
                        "name": {"title": "Name", "type": "string"},
                        "points": {"anyOf": [{"items": {"$ref": "#/$defs/P"}, "type": "array"}, _NULL]},
                        "note": {"anyOf": [_TEXT, _NULL]},
                        "size": {"anyOf": [{"type": "integer", "minimum": 0}, _NULL]},
                    }
                ),
            },
            {"label", "points", "size"},
        ),
    ],
)
def test_optional_properties_become_required_and_nullable(
    schema: dict[str, Any], strict: dict[str, Any], optional: set[str]
) -> None:
    made = made_strict(schema)
    assert made is not None
    assert (made.schema, set(made.optional)) == (strict, optional)
    check_strict(made.schema, "")
    Draft202012Validator.check_schema(made.schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "array", "items": _TEXT},
        {"anyOf": [_closed({})]},
        {"$ref": "#/$defs/a", "$defs": {"a": _closed({})}},
        _object({"a": _TEXT}, "b"),
        _object({"a": {"type": "object", "additionalProperties": _TEXT}}),
        _object({"a": _TEXT}, additionalProperties=True),
        _object({"a": {}}),
        _object({"a": {"enum": [1, "x"]}}),
        _object({"a": {"type": "array"}}),
        _object({"a": {"type": "array", "items": [_TEXT]}}),
        _object({"a": {"type": "string", "minLength": 3}}),
        _object({"a": {"type": "string", "format": "uri"}}),
        _object({"a": {"type": "string", "pattern": "(?=a)"}}),
        _object({"a": {"oneOf": [_TEXT, _NULL]}}),
        _object({"a": {"allOf": [_TEXT]}}),
        _object({"a": {"$ref": "https://example.com/a"}}),
        _object({"a": {"$ref": "#/properties/b"}, "b": _TEXT}),
        _object({"a": {"$ref": "#/$defs/P/properties/x"}}, **{"$defs": {"P": _POINT}}),
        _object({"a": _TEXT, "b": _object({"a": {"type": ["string", "null"]}})}),  # null of one `a` is a value, of the other none
        _object({"a": _TEXT}, patternProperties={"b": _TEXT}),
        _object({"a": 5}),
        {"type": "object", "properties": 5},
        {"type": ["object", "string"], "properties": {"a": _TEXT}},
    ],
)
def test_a_schema_that_would_mean_something_else_is_left_alone(schema: dict[str, Any]) -> None:
    assert made_strict(schema) is None


def test_a_deep_schema_is_left_alone() -> None:
    deep: dict[str, Any] = _TEXT
    for _ in range(90):
        deep = _object({"a": deep})
    assert made_strict(deep) is None


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(("object", "string", "array", "#/$defs/a", "date", "a")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYWORDS), inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(_KEYWORDS), _VALUES, max_size=6))
@example({"type": "object", "properties": {"a": {"type": "string", "format": {}}}})
@example({"type": "object", "properties": {"a": {"type": "string", "enum": 5}}})
@example({"type": [{}], "anyOf": 5})
def test_whatever_a_client_calls_a_schema_has_an_answer(schema: dict[str, Any]) -> None:
    made = made_strict(schema)
    if made is not None:
        check_strict(made.schema, "")
