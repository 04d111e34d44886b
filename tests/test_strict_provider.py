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
_LOOK: Json = {"type": "function", "name": "look"}


def _of(*items: Json, tools: tuple[Json, ...] = ()) -> ModelRequest:
    return ModelRequest(body={"input": list(items), "tools": list(tools)})


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
    assert problem(_of(*items, tools=(_LOOK, {"type": "namespace", "name": "g", "tools": [_LOOK]}))) is None


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ((_USER | {"type": "smell"},), "unknown type"),
        ((_USER | {"smell": 1},), "unknown member 'smell'"),
        ((_USER | {"content": []},), "empty content"),
        ((_USER | {"content": _SAID["content"]},), "a part 'output_text' of the user's"),
        ((_SAID | {"content": _USER["content"]},), "a part 'input_text' of the assistant's"),
        ((_USER | {"role": "tool"},), "unknown role"),
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
    for tool in (_LOOK | {"name": ""}, {"type": "namespace", "name": "g", "tools": [_LOOK | {"name": "a.b"}]}):
        assert "the name of a tool" in (problem(_of(_USER, tools=(tool,))) or "")
