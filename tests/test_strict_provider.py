"""The tests' provider refuses what OpenAI's API refuses."""

from typing import Any

import pytest

from codex_proxy.demo.steps import ModelRequest
from tests.support.strict_provider import problem

Json = dict[str, Any]  # Any: any JSON

_USER: Json = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
_SAID: Json = {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "yes"}]}
_CALL: Json = {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"}
_OUTPUT: Json = {"type": "function_call_output", "call_id": "a", "output": "1"}
_THOUGHT: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
_LOOK: Json = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": None}
_GROUP: Json = {"type": "namespace", "name": "g", "description": "", "tools": [_LOOK]}


def _of(*items: Json, tools: tuple[Json, ...] = (), **members: Any) -> ModelRequest:  # Any: any JSON
    return ModelRequest(body={"model": "m", "stream": True, "input": list(items), "tools": list(tools)} | members)


@pytest.mark.parametrize(
    "items",
    [
        (_USER,),
        (_USER, _THOUGHT, _CALL, _OUTPUT, _SAID, _USER),
        (_USER, _CALL, _CALL | {"call_id": "b"}, _OUTPUT | {"call_id": "b"}, _OUTPUT),
        (_CALL | {"call_id": "c" * 64, "name": "n" * 64}, _OUTPUT | {"call_id": "c" * 64}),
    ],
)
def test_what_the_api_takes_is_taken(items: tuple[Json, ...]) -> None:
    assert problem(_of(*items, tools=(_LOOK, _GROUP))) is None


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ((_USER | {"type": "smell"},), "unknown type"),
        ((_USER | {"smell": 1},), "unknown member 'smell'"),
        ((_USER | {"content": []},), "empty content"),
        ((_USER | {"content": _SAID["content"]},), "unknown type 'output_text'"),
        ((_USER | {"role": "assistant"},), "a part 'input_text' of the assistant's"),
        ((_USER | {"role": "tool"},), "role: 'tool' is none of its values"),
        ((_USER | {"content": [{"type": "input_text", "text": 1}]},), "content[0].text: int is the wrong type"),
        ((_USER | {"content": [{"type": "input_text", "text": "hi", "smell": 1}]},), "content[0]: unknown member 'smell'"),
        ((_THOUGHT | {"summary": None},), "summary: not a list"),
        ((_USER | {"content": None},), "empty content"),
        ((_CALL | {"arguments": {}}, _OUTPUT), "arguments: dict is the wrong type"),
        (({"type": "function_call", "call_id": "a", "name": "look"}, _OUTPUT), "no member 'arguments'"),
        ((_SAID | {"id": ""},), "an empty id"),
        ((_SAID, _USER, _SAID), "Duplicate item found with id msg_1"),
        ((_CALL,), "No tool output found for function call a."),
        ((_OUTPUT,), "No tool call found for function call output with call_id a."),
        ((_OUTPUT, _CALL), "No tool call found"),
        ((_CALL, _OUTPUT, _CALL, _OUTPUT), "a call_id twice"),
        ((_CALL | {"call_id": "c" * 65}, _OUTPUT | {"call_id": "c" * 65}), "the call_id"),
        ((_CALL | {"call_id": ""}, _OUTPUT | {"call_id": ""}), "the call_id"),
        ((_CALL | {"name": "look at"}, _OUTPUT), "the name 'look at'"),
        ((_CALL | {"name": "n" * 65}, _OUTPUT), "the name"),
    ],
)
def test_what_the_api_refuses_is_refused(items: tuple[Json, ...], told: str) -> None:
    assert told in (problem(_of(*items)) or "")


def test_a_tool_of_a_bad_name_is_refused_in_a_group_too() -> None:
    for tool in (_LOOK | {"name": ""}, _GROUP | {"tools": [_LOOK | {"name": "a.b"}]}):
        assert "the name of a tool" in (problem(_of(_USER, tools=(tool,))) or "")


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"smell": 1}, "unknown member 'smell'"),
        ({"model": None}, "model: "),
        ({"stream": False}, "stream: False is none of its values"),
        ({"store": "no"}, "store: "),
        ({"max_output_tokens": True}, "max_output_tokens: "),
        ({"reasoning": {"effort": "hard"}}, "reasoning.effort: 'hard' is none of its values"),
        ({"reasoning": {"efforts": "high"}}, "reasoning: unknown member 'efforts'"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format: no member 'schema'"),
        ({"tool_choice": "must"}, "tool_choice: "),
        ({"tools": [_LOOK | {"parameter": {}}]}, "tools[0]: unknown member 'parameter'"),
        ({"tools": [{"type": "smell"}]}, "tools[0]: unknown type 'smell'"),
        ({"include": ["everything"]}, "include[0]: 'everything' is none of its values"),
    ],
)
def test_a_body_of_other_members_or_types_is_refused(members: Json, told: str) -> None:
    assert told in (problem(_of(_USER, **members)) or "")


def test_what_codex_sends_beyond_what_is_published_is_taken() -> None:
    search = {"type": "web_search", "search_content_types": ["text"]}
    assert (
        problem(_of(_USER, client_metadata={"turn_id": "t"}, tools=(search,), store=False, include=[], tool_choice="auto")) is None
    )
