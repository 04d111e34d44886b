"""The form of an answer that a client asks for, and what becomes of it in each dialect's request."""

from typing import Any

import msgspec
import pytest

from codex_proxy.dialects.chat import request as chat_request
from codex_proxy.dialects.output_format import OutputFormat, json_object, json_schema
from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.errors import InvalidRequest
from codex_proxy.history import History, Message, Text
from codex_proxy.wish import Wish

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"größe": {"type": "number"}},
    "required": ["größe"],
    "additionalProperties": False,
}
_OPEN: dict[str, Any] = {"type": "object"}
_USER = [{"role": "user", "content": "hi"}]
_ONLY = "Answer with one JSON value and nothing else: no prose around it, no Markdown fence."


def test_plain_text_asks_for_nothing() -> None:
    assert (OutputFormat().is_json, OutputFormat().as_history()) == (False, ())


def test_a_strict_schema_is_enforced_and_not_asked_for() -> None:
    form = json_schema(_SCHEMA, strict=True, place="x")
    assert (form.is_json, form.instruction, form.as_history()) == (True, None, ())
    assert msgspec.json.decode(form.schema or "") == _SCHEMA


def test_a_strict_schema_that_is_not_strict_is_refused_at_its_place() -> None:
    with pytest.raises(InvalidRequest) as caught:
        json_schema(_OPEN, strict=True, place="text.format.schema")
    assert caught.value.param == "text.format.schema"


def test_any_other_json_is_asked_for_in_words() -> None:
    checked = '{"type":"object"}'
    assert json_object() == OutputFormat(instruction=f"{_ONLY} The value is an object.", checked=checked)
    form = json_schema(_OPEN, strict=False, place="x")
    assert form == OutputFormat(instruction=f"{_ONLY} The value fits this JSON Schema: {checked}", checked=checked)
    assert form.as_history() == (Message("developer", (Text(form.instruction or ""),)),)
    assert form.is_json


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, OutputFormat()),
        ({"type": "text"}, OutputFormat()),
        ({"type": "json_object"}, json_object()),
        ({"type": "json_schema", "name": "n", "schema": _OPEN}, json_schema(_OPEN, strict=False, place="")),
        ({"type": "json_schema", "name": "n", "schema": _OPEN, "strict": False}, json_schema(_OPEN, strict=False, place="")),
        ({"type": "json_schema", "name": "n", "schema": _SCHEMA, "strict": True}, json_schema(_SCHEMA, strict=True, place="")),
    ],
)
def test_both_dialects_ask_for_the_same_form(given: dict[str, Any] | None, expected: OutputFormat) -> None:
    responses = responses_request.decode(msgspec.json.encode({"input": "hi", "text": {"format": given}})).continuing(())
    chat = chat_request.decode(msgspec.json.encode({"messages": _USER, "response_format": _in_chats_form(given)}))
    assert _form_of(responses.wish) == _form_of(chat.wish) == (expected.schema, expected.as_history())
    assert responses.json is chat.json is expected.is_json


def test_what_is_asked_for_stands_beside_the_history() -> None:
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    body = {"messages": messages, "response_format": {"type": "json_object"}}
    wish = chat_request.decode(msgspec.json.encode(body)).wish
    assert [item.parts for item in wish.history if isinstance(item, Message)] == [
        (Text("be kind"),),
        (Text("a"),),
    ]
    assert wish.note == (Message("developer", (Text(f"{_ONLY} The value is an object."),)),)
    assert wish.input == (Text("b"),)


def _in_chats_form(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None or given["type"] != "json_schema":
        return given
    return {"type": "json_schema", "json_schema": {name: value for name, value in given.items() if name != "type"}}


def _form_of(wish: Wish) -> tuple[str | None, tuple[History, ...]]:
    """The schema, and what is asked for in words beside the history."""
    return wish.output_schema, wish.note
