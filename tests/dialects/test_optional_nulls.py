"""Nulls that stand for what is not there are taken out of an answer, however it is cut into deltas."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_proxy.dialects.optional_nulls import WithoutNulls
from codex_proxy.turns import MessageCompleted, MessageDelta, MessageStarted, TurnEvent

_NAMES = frozenset(("a", "b\n"))


def _shown(text: str, *cuts: int) -> str:
    """What a filter shows of a message in these pieces; its deltas are its text."""
    filter_ = WithoutNulls(_NAMES)
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[begin:end] for begin, end in itertools.pairwise(edges)]
    events: list[TurnEvent] = [MessageStarted("m", None), *(MessageDelta("m", piece) for piece in pieces)]
    told = [one for event in [*events, MessageCompleted("m", text)] for one in filter_.feed(event)]
    deltas = "".join(event.text for event in told if isinstance(event, MessageDelta))
    assert isinstance(told[-1], MessageCompleted)
    assert told[-1].text == deltas
    return deltas


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a":null}', "{}"),
        ('{"a":null,"c":1}', '{"c":1}'),
        ('{"c":1,"a":null}', '{"c":1}'),
        ('{"c":1,"a":null,"d":null}', '{"c":1,"d":null}'),
        ('{"a":null,"b\\n":null}', "{}"),
        ('{"\\u0061":null}', "{}"),
        ('{ "c" : [ {"a" : null , "c":2}, null ] ,\n "a" : "null" }', None),
        ('{"c":"{\\"a\\":null}"}', '{"c":"{\\"a\\":null}"}'),
        ('{"a":{"a":null},"c":[null,"a",{"a":null}]}', '{"a":{},"c":[null,"a",{}]}'),
        ("{}", "{}"),
        ("{ }", "{ }"),
        ("[]", "[]"),
        ('"a"', '"a"'),
        ("I cannot, a: null", "I cannot, a: null"),
        ('{"a":nul', '{"a":nul'),
        ('{"c":1,"a', '{"c":1,"a'),
        ("}]", "}]"),
        ("{,", "{,"),
    ],
)
def test_members_that_are_null_and_may_be_left_out_are(text: str, shown: str | None) -> None:
    for cuts in ((), range(1, len(text)), range(2, len(text), 3)):
        found = _shown(text, *cuts)
        if shown is None:
            assert json.loads(found) == {"c": [{"c": 2}, None], "a": "null"}
        else:
            assert found == shown


def _without(value: Any) -> Any:  # Any: JSON
    if isinstance(value, dict):
        return {name: _without(part) for name, part in value.items() if part is not None or name not in _NAMES}
    return [_without(part) for part in value] if isinstance(value, list) else value


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(("a", "b\n", "c", "")), inner, max_size=4),
    max_leaves=15,
)


@given(_JSON, st.sampled_from((None, 0, 2)), st.booleans(), st.data())
def test_any_json_keeps_everything_else(value: Any, indent: int | None, ascii_only: bool, data: st.DataObject) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=5))
    assert json.loads(_shown(text, *cuts)) == _without(value)
