"""What Codex would lose of a tool's JSON Schema is said in other words."""

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from codex_proxy.codex.tool_schema import understood

Json = dict[str, Any]  # Any: any JSON
_STRING, _INTEGER = {"type": "string"}, {"type": "integer"}


def _understood(part: Any) -> Any:  # of one property of an object
    schema = {"type": "object", "properties": {"p": part}}
    return json.loads(understood(msgspec.json.encode(schema).decode()))["properties"]["p"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (True, {}),
        ({"type": "array", "items": True}, {"type": "array", "items": {}}),
        ({"anyOf": [True, _STRING]}, {"anyOf": [{}, _STRING]}),
        ({"enum": [1, 2]}, {"enum": [1, 2], "type": "integer"}),
        ({"enum": ["a", None]}, {"enum": ["a", None], "type": ["string", "null"]}),
        ({"enum": ["a"], "type": "string"}, {"enum": ["a"], "type": "string"}),
        ({"const": 3}, {"enum": [3], "type": "integer"}),
        ({"const": True}, {"enum": [True], "type": "boolean"}),
        ({"properties": {"const": _STRING, "enum": _INTEGER}}, {"properties": {"const": _STRING, "enum": _INTEGER}}),
        ({"type": "object", "additionalProperties": True}, {"type": "object", "additionalProperties": True}),
        ({"default": True, **_STRING}, {"default": True, **_STRING}),
    ],
)
def test_what_codex_takes_for_a_string_is_said_with_its_type(part: Any, said: Any) -> None:
    assert _understood(part) == said


@pytest.mark.parametrize(
    ("tuple_", "items"),
    [
        ({"type": "array", "items": [_STRING, _INTEGER], "minItems": 2, "maxItems": 2}, {"anyOf": [_STRING, _INTEGER]}),
        ({"type": "array", "items": [_STRING, _INTEGER], "additionalItems": False}, {"anyOf": [_STRING, _INTEGER]}),
        ({"type": "array", "prefixItems": [_STRING, _INTEGER], "items": False}, {"anyOf": [_STRING, _INTEGER]}),
        ({"prefixItems": [_STRING, _STRING], "maxItems": 2}, _STRING),
        ({"items": [_STRING], "additionalItems": _INTEGER}, {"anyOf": [_STRING, _INTEGER]}),
        ({"items": [_STRING, _INTEGER]}, {}),  # open: anything may follow
        ({"items": [True], "additionalItems": False}, {}),
        ({"items": []}, {}),
        ({"items": [{"type": "array", "prefixItems": [_STRING], "items": False}], "maxItems": 1}, None),
    ],
)
def test_a_tuple_is_an_array_of_what_its_places_take_and_takes_every_value_that_it_took(tuple_: Json, items: Json | None) -> None:
    said = _understood(tuple_)
    assert said["type"] == "array"
    assert items is None or said["items"] == items
    assert not {"prefixItems", "additionalItems"} & said.keys()
    before = tuple_
    if isinstance(tuple_.get("items"), list):  # the form of old drafts
        before = {**tuple_, "prefixItems": tuple_["items"], "items": tuple_.get("additionalItems", True)}
    for value in ([], ["a"], ["a", 1], ["a", "b"], [1], ["a", 1, None], [["a"]]):
        if jsonschema.validators.Draft202012Validator(before).is_valid(value):
            jsonschema.validate(value, said)


def test_a_tuples_description_tells_which_place_has_what() -> None:
    said = _understood({"description": "A point.", "items": [_STRING, _INTEGER], "maxItems": 2})
    assert said["description"] == (
        'A point. An array whose item 1 fits {"type":"string"}, item 2 fits {"type":"integer"}; there are no others.'
    )


def test_a_schema_without_anything_of_the_kind_stays_as_it_was() -> None:
    schema = '{"type":"object","properties":{"a":{"type":"string","description":"1 > 0"}},"required":["a"]}'
    assert understood(schema) is schema


def test_a_deep_schema_is_no_trouble() -> None:
    deep: Any = True
    for _ in range(500):
        deep = {"type": "array", "items": deep}
    assert _understood(deep)["type"] == "array"
