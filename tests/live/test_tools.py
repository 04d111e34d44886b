"""Function tools and structured output of the chat route, on the real CLI with a scripted model."""

import json
from collections.abc import AsyncIterator
from typing import Any

from codex_proxy.demo import shell
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Raw, Say, Step, words
from tests.conftest import Proxy
from tests.support.pictures import PIXEL
from tests.support.streams import chunks_of, content_of


def function(name: str) -> dict[str, Any]:
    """A tool as the chat API has it."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "description": f"The {name}.", "parameters": parameters}}


WEATHER, TIME = function("get_weather"), function("get_time")


async def two_calls(request: ModelRequest) -> AsyncIterator[Step]:
    if request.outputs:
        yield Say(words("It is sunny at noon."))
    else:
        yield Say(("Let me see.",), phase="commentary")
        yield Call("get_weather", '{"city": "Rome"}', "call_w")
        yield Call("get_time", '{"city":"Rome"}', "call_t")


async def test_two_calls_come_at_once_and_the_results_continue_the_conversation(proxy: Proxy, model: ModelServer) -> None:
    model.script = two_calls
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Rome?"}]
    answer = await (await proxy.chat(messages=messages, model="gpt-5.6-sol", tools=[WEATHER, TIME])).json()
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["reasoning_content"] == "Let me see."
    assert choice["message"]["tool_calls"] == [
        {"id": "call_w", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}},
        {"id": "call_t", "type": "function", "function": {"name": "get_time", "arguments": '{"city":"Rome"}'}},
    ]
    assert answer["usage"]["total_tokens"] == 15
    assert model.calls == 1

    parts = [{"type": "text", "text": "noon"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    messages += [
        {"role": "assistant", "content": None, "tool_calls": choice["message"]["tool_calls"]},
        {"role": "tool", "tool_call_id": "call_t", "content": parts},
        {"role": "tool", "tool_call_id": "call_w", "content": "sunny"},
    ]
    answer = await (await proxy.chat(messages=messages, model="gpt-5.6-sol", tools=[WEATHER, TIME])).json()
    assert answer["choices"][0]["message"]["content"] == "It is sunny at noon."
    assert answer["choices"][0]["finish_reason"] == "stop"
    calls = [item for item in model.requests[-1].input if item["type"] == "function_call"]
    assert [(call["call_id"], call["name"], call["arguments"]) for call in calls] == [
        ("call_w", "get_weather", '{"city": "Rome"}'),
        ("call_t", "get_time", '{"city":"Rome"}'),
    ]
    outputs = {item["call_id"]: item["output"] for item in model.requests[-1].input if item["type"] == "function_call_output"}
    assert outputs["call_w"] == "sunny"
    assert outputs["call_t"][0] == {"type": "input_text", "text": "noon"}
    assert outputs["call_t"][1]["image_url"] == PIXEL


async def test_streamed_calls_have_their_index_id_and_name_first(proxy: Proxy, model: ModelServer) -> None:
    model.script = two_calls
    chunks, done = await chunks_of(await proxy.chat(prompt="Rome?", tools=[WEATHER, TIME], stream=True))
    assert done
    parts = [part for chunk in chunks for part in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert parts == [
        {"index": 0, "id": "call_w", "type": "function", "function": {"name": "get_weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city": "Rome"}'}},
        {"index": 1, "id": "call_t", "type": "function", "function": {"name": "get_time", "arguments": ""}},
        {"index": 1, "function": {"arguments": '{"city":"Rome"}'}},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_parallel_tool_calls_false_gives_one_call(proxy: Proxy, model: ModelServer) -> None:
    model.script = two_calls
    answer = await (await proxy.chat(prompt="Rome?", tools=[WEATHER, TIME], parallel_tool_calls=False)).json()
    assert [call["id"] for call in answer["choices"][0]["message"]["tool_calls"]] == ["call_w"]


async def test_a_turn_that_ends_in_a_call_leaves_its_worker_usable(proxy: Proxy, model: ModelServer) -> None:
    model.script = two_calls
    for _ in range(6):
        answer = await proxy.chat(prompt="Rome?", tools=[WEATHER, TIME])
        assert (await answer.json())["choices"][0]["finish_reason"] == "tool_calls"
    assert model.calls == 6


async def test_tool_choice_decides_what_the_model_sees_and_reminds_it_once(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if "get_weather" in request.tool_names and model.calls % 2 == 0:
            yield Call("get_weather", '{"city":"Rome"}', "call_w")
        else:
            yield Say(words("I would rather talk."))

    model.script = script
    none = await (await proxy.chat(prompt="Rome?", tools=[WEATHER], tool_choice="none")).json()
    assert none["choices"][0]["message"]["content"] == "I would rather talk."
    assert "get_weather" not in model.requests[-1].tool_names
    model.calls = 0
    named = {"type": "function", "function": {"name": "get_weather"}}
    for choice in ("required", named):
        answer = await (await proxy.chat(prompt="Rome?", tools=[WEATHER], tool_choice=choice)).json()
        assert answer["choices"][0]["finish_reason"] == "tool_calls"
        assert answer["choices"][0]["message"]["content"] is None
    assert model.calls == 4
    model.calls = -(10**6)

    async def stubborn(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("No."))

    model.script = stubborn
    answer = await (await proxy.chat(prompt="Rome?", tools=[WEATHER], tool_choice="required")).json()
    assert answer["choices"][0]["message"]["content"] == "No."
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert model.calls == -(10**6) + 2


async def test_names_that_codex_keeps_are_refused_for_an_agent_and_work_in_chat_mode(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        (name,) = [name for name in request.tool_names if name.endswith("exec_command")]
        yield Call(name, '{"city":"Rome"}', "call_1")

    refused = await proxy.chat(prompt="Rome?", tools=[WEATHER, function("exec_command")])
    assert refused.status == 400
    error = (await refused.json())["error"]
    assert error["param"] == "tools[1]"
    assert "exec_command" in error["message"]
    model.script = script
    answer = await (await proxy.chat(prompt="Rome?", model="gpt-5.5 chat", tools=[function("exec_command")])).json()
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "exec_command"


async def test_the_agents_own_commands_run_before_a_clients_tool_is_called(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if not request.outputs:
            yield shell.run("echo own work", request)
        else:
            yield Call("get_weather", '{"city":"Rome"}', "call_w")

    model.script = script
    for name in ("gpt-5.6-sol", "gpt-5.5"):
        message = (await (await proxy.chat(prompt="go", model=name, tools=[WEATHER])).json())["choices"][0]["message"]
        assert message["reasoning_content"] == "$ echo own work"
        assert [call["id"] for call in message["tool_calls"]] == ["call_w"]


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


async def test_a_strict_schema_is_enforced_upstream_and_other_json_is_asked_for(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words('{"n": 3}'))

    model.script = script
    strict = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}
    answer = await (await proxy.chat(prompt="three", response_format=strict)).json()
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"n": 3}
    asked = model.requests[-1].body["text"]["format"]
    assert (asked["type"], asked["strict"], asked["schema"]) == ("json_schema", True, SCHEMA)
    await proxy.chat(prompt="three", response_format={"type": "json_object"})
    assert "format" not in model.requests[-1].body["text"]
    developer = [item["content"][0]["text"] for item in model.requests[-1].input if item.get("role") == "developer"]
    assert "JSON" in developer[-1]


async def test_what_the_agent_says_on_the_way_does_not_mix_with_json(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if not request.outputs:
            yield Say(("I will look.",))
            yield shell.run("echo hi", request)
        else:
            yield Say(words('{"n": 3}'))

    model.script = script
    strict = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}
    chunks, _ = await chunks_of(await proxy.chat(prompt="three", model="gpt-5.6-sol", response_format=strict, stream=True))
    assert json.loads(content_of(chunks)) == {"n": 3}


async def test_a_schema_that_strict_mode_refuses_is_a_400_that_names_the_place(proxy: Proxy, model: ModelServer) -> None:
    bad = {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {}}},
        "required": ["a"],
        "additionalProperties": False,
    }
    strict = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": bad}}
    answer = await proxy.chat(prompt="three", response_format=strict)
    assert answer.status == 400
    assert (await answer.json())["error"]["param"] == "response_format.json_schema.schema.properties.a"
    assert model.calls == 0


async def test_a_message_whole_and_a_call_in_one_response_are_both_there(proxy: Proxy, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Raw({"type": "message", "role": "assistant", "id": "m1", "content": [{"type": "output_text", "text": "Wait."}]})
        yield Call("get_weather", '{"city":"Rome"}', "call_w")

    model.script = script
    message = (await (await proxy.chat(prompt="go", tools=[WEATHER])).json())["choices"][0]["message"]
    assert message["content"] == "Wait."
    assert len(message["tool_calls"]) == 1
