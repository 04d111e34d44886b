"""Answers that should be JSON: where it is in the text, what is wrong with it, and that neither schema nor text costs much."""

import json
import time
from typing import Any

import pytest

from codex_proxy.json_answers import problem, span

_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('{"n":1}', '{"n":1}'),
        (' {"n":1}\n', ' {"n":1}\n'),
        ('```json\n{"n":1}\n```', '{"n":1}'),
        ('```\n{"n":1}```', '{"n":1}'),
        ('Here it is:\n```JSON\r\n{\n"n":1}\r\n```\nGood luck.', '{\n"n":1}'),
        ('"```json\\n1\\n```"', '"```json\\n1\\n```"'),
        ("```json\nno\n```", "```json\nno\n```"),
        ("```json\n1\n```\n```json\n2\n```", "```json\n1\n```\n```json\n2\n```"),
        ("```" * 50_000, "```" * 50_000),
        ("", ""),
    ],
)
def test_the_json_is_the_whole_or_inside_of_the_only_fence(text: str, inside: str) -> None:
    begin, end = span(text)
    assert text[begin:end] == inside


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"n":3}', None),
        ('```json\n{"n":3}\n```', None),
        ('{"n":2}', "2 is less than the minimum of 3 at ['n']"),
        ("{}", '"n" is a required property'),
        ("[]", "[] is not of type"),
        ("no", "not valid JSON"),
        ('{"n":3} and more', "not valid JSON"),
    ],
)
def test_a_problem_is_told_in_words(text: str, told: str | None) -> None:
    found = problem(text, json.dumps(_SCHEMA))
    assert found is None if told is None else told in (found or "")


_HALVES = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)} | {"a60": {"type": "string"}}
_ROUND = {"$defs": {"a": {"anyOf": [{"properties": {"x": {"$ref": "#/$defs/a"}}}] * 20}}, "$ref": "#/$defs/a", "type": "object"}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"$defs": _HALVES, "$ref": "#/$defs/a0"}, "1"),
        (_ROUND, '{"x":' * 60 + "1" + "}" * 60),
        ({"$ref": "#"}, "1"),
        ({"$ref": "http://127.0.0.1:1/a"}, "1"),
        ({"$ref": "file:///etc/passwd"}, "1"),
        ({"$ref": "#/$defs/none"}, "1"),
        ({"$dynamicRef": "#a", "$dynamicAnchor": "a"}, "1"),
        ({"type": 5}, "1"),
        ({"pattern": "("}, '"a"'),
    ],
)
def test_a_schema_that_cannot_be_checked_at_a_bounded_cost_takes_any_json(schema: dict[str, Any], text: str) -> None:
    began = time.process_time()
    assert problem(text, json.dumps(schema)) is None
    assert problem("no", json.dumps(schema)) is not None
    assert time.process_time() - began < 1


def test_of_such_a_schema_the_kind_of_the_root_is_checked() -> None:
    assert "object" in (problem("[]", json.dumps(_ROUND)) or "")


def test_properties_called_like_keywords_are_properties() -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "$id", "$ref")}}
    assert problem('{"id":1}', json.dumps(schema)) is not None


def test_a_pattern_takes_linear_time() -> None:
    began = time.process_time()
    assert problem(json.dumps("a" * 50_000 + "b"), '{"pattern":"^(a+)+$"}') is not None
    assert time.process_time() - began < 1
