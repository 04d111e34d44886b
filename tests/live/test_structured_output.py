"""JSON that is not asked for strictly, on the real CLI: what the provider is sent, and what the client gets of the answer."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from codex_proxy.demo import shell
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step
from tests.conftest import Proxy
from tests.live.test_conversations import SCRIPTS
from tests.support.refusals import post
from tests.support.streams import chunks_of, content_of

_CHAT, _ITEMS = "chat/completions", "responses"
_OPTIONAL = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name"]}
_STRICT = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
_OPEN = {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1}
_MODELS = ("gpt-5.5 chat", SCRIPTS)


def _asked(route: str, schema: dict[str, Any] | None, model: str, **more: object) -> dict[str, Any]:
    """A request for JSON of a schema, or for any object."""
    if route == _CHAT:
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}} if schema else {"type": "json_object"}
        return {"model": model, "messages": [{"role": "user", "content": "JSON?"}], "response_format": form, **more}
    format_ = {"type": "json_schema", "name": "n", "schema": schema} if schema else {"type": "json_object"}
    return {"model": model, "input": "JSON?", "text": {"format": format_}, **more}


async def _answer(proxy: Proxy, route: str, asked: dict[str, Any]) -> str:
    """The text of the answer, after a look at whether all that tells it tells the same."""
    response = await post(proxy, asked, route=route)
    assert response.status == 200, await response.text()
    if not asked.get("stream"):
        whole = msgspec.json.decode(await response.read())
        return str(whole["choices"][0]["message"]["content"] if route == _CHAT else _text(whole))
    events, _ = await chunks_of(response)
    if route == _CHAT:
        return content_of(events)
    deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert deltas == _text(events[-1]["response"])
    return deltas


def _text(response: dict[str, Any]) -> str:
    [message] = [item for item in response["output"] if item["type"] == "message"]
    return str(message["content"][0]["text"])


def _says(*answers: str) -> Any:  # Any: a script
    """Says them one after the other, letter by letter; in agent mode after a command."""
    left = list(answers)

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if shell.tool(request) and not request.outputs and len(left) == len(answers):
            yield Say(("I ", "look."), phase="commentary")
            yield shell.run("true", request)
            return
        yield Say(tuple(left.pop(0)))

    return script


@pytest.mark.parametrize("mode", _MODELS)
@pytest.mark.parametrize("route", [_CHAT, _ITEMS])
async def test_a_schema_with_optional_properties_is_enforced_and_the_nulls_taken_out(
    proxy: Proxy, model: ModelServer, route: str, mode: str
) -> None:
    for stream in (False, True):
        model.script = _says('{"name": "a", "age": null}')
        assert await _answer(proxy, route, _asked(route, _OPTIONAL, mode, stream=stream)) == '{"name": "a"}'
        sent = model.requests[-1].body["text"]["format"]
        assert (sent["type"], sent["strict"], sent["schema"]) == ("json_schema", True, _STRICT)


_Row = tuple[dict[str, Any] | None, list[str], str, str | None]
_IN_WORDS: list[_Row] = [  # schema, the model's answers, what the client gets, what the model is told between them
    (_OPEN, ['```json\n{"a": 1}\n```'], '{"a": 1}', None),
    (None, ['Here:\n```\n{"a": 1}\n```\n'], '{"a": 1}', None),
    (None, ["No.", '{"a": 1}'], '{"a": 1}', "not valid JSON"),
    (None, ["[1]", '```json\n{"a": 1}\n```'], '{"a": 1}', "is not of type"),
    (_OPEN, ['{"a": "x"}', '{"a": 1}'], '{"a": 1}', "at ['a']"),
    (_OPEN, ["{}", "No."], "No.", "{} has less than 1 property"),  # the second answer stands
]


@pytest.mark.parametrize("mode", _MODELS)
@pytest.mark.parametrize("route", [_CHAT, _ITEMS])
async def test_json_that_is_asked_for_in_words_is_checked_and_asked_for_once_more(
    proxy: Proxy, model: ModelServer, route: str, mode: str
) -> None:
    for schema, answers, shown, told in _IN_WORDS[:: 1 if mode.endswith("chat") else 3]:
        for stream in (False, True):
            before, model.script = model.calls, _says(*answers)
            assert await _answer(proxy, route, _asked(route, schema, mode, stream=stream)) == shown
            assert "format" not in model.requests[-1].body.get("text", {})
            assert model.calls - before == len(answers) + (mode == SCRIPTS)
            last = model.requests[-1].prompt
            assert last == "JSON?" if told is None else told in last


async def test_a_call_of_a_tool_is_no_answer_and_nothing_is_asked_again(proxy: Proxy, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(("Let me see.",))
        yield Call("look", "{}", "call_1")

    model.script = script
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    asked = _asked(_CHAT, None, "gpt-5.5 chat", tools=tools)
    whole = await (await post(proxy, asked)).json()
    assert (whole["choices"][0]["finish_reason"], model.calls) == ("tool_calls", 1)


async def test_a_limit_cuts_json_that_was_asked_for_in_words(proxy: Proxy, model: ModelServer) -> None:
    model.script = _says('{"a": 1}')
    whole = await (await post(proxy, _asked(_CHAT, None, "gpt-5.5 chat", max_tokens=3))).json()
    assert (whole["choices"][0]["finish_reason"], whole["choices"][0]["message"]["content"]) == ("length", '{"a')
