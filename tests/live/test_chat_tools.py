"""Custom tools and the choice among tools in chat completions, and calls as clients replay them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageCustomToolCall

from codex_proxy.codex.command import Command
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import Proxy
from tests.live.test_everyday_requests import told
from tests.live.test_tools import function

Json = dict[str, Any]  # Any: any JSON

_NOTE: Json = {"type": "custom", "custom": {"name": "note", "description": "Writes.", "format": {"type": "text"}}}


async def _notes(request: ModelRequest) -> AsyncIterator[Step]:
    if request.outputs:
        yield Say(words("Done."))
    else:
        yield Call("note", '{"input":"buy milk"}', "call_n")


@pytest.fixture
def noting(model: ModelServer) -> ModelServer:
    model.script = _notes
    return model


async def test_a_custom_tool_is_called_with_a_text_and_its_call_is_understood(
    proxy: Proxy, noting: ModelServer, cli: Command
) -> None:
    client = AsyncOpenAI(base_url=proxy.base_url, api_key="none")
    messages: list[Any] = [{"role": "user", "content": "note it"}]  # Any: the SDK's own types
    tools: Any = [_NOTE]
    async with client:
        answer = await client.chat.completions.create(model="gpt-5.6-sol chat", messages=messages, tools=tools)
        message = answer.choices[0].message
        [call] = message.tool_calls or []
        assert isinstance(call, ChatCompletionMessageCustomToolCall)
        assert (call.id, call.custom.name, call.custom.input) == ("call_n", "note", "buy milk")
        assert answer.choices[0].finish_reason == "tool_calls"
        messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": "call_n", "content": "noted"}]
        answer = await client.chat.completions.create(model="gpt-5.6-sol chat", messages=messages, tools=tools)
    assert answer.choices[0].message.content == "Done."
    called, output = told(noting.requests[-1], "function_call", "function_call_output")[1:]
    assert (called["name"], called["arguments"], output["output"]) == ("note", '{"input":"buy milk"}', "noted")
    first, second = (request.body["prompt_cache_key"] for request in noting.requests)
    assert (first == second) == (cli.version >= (0, 163, 0))  # one conversation; no thread of 0.147.0 can be resumed


async def test_a_custom_call_is_streamed(proxy: Proxy, noting: ModelServer) -> None:
    answer = await proxy.chat(prompt="note it", model="gpt-5.5 chat", tools=[_NOTE], stream=True)
    frames = [line.removeprefix("data: ") for line in (await answer.text()).splitlines() if line.startswith("data: {")]
    deltas = [json.loads(frame)["choices"][0]["delta"] for frame in frames]
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    assert pieces == [
        {"index": 0, "id": "call_n", "type": "custom", "custom": {"name": "note", "input": ""}},
        {"index": 0, "custom": {"input": "buy milk"}},
    ]


async def test_a_choice_confines_the_model_to_the_tools_that_it_names(proxy: Proxy, model: ModelServer) -> None:
    allowed = {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "note"}}, _named("see")]}
    rows: list[tuple[Json | str, set[str]]] = [
        ({"type": "allowed_tools", "allowed_tools": allowed}, {"note", "see"}),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_named("look")]}}, {"look"}),
        ("auto", {"note", "look", "see"}),
    ]
    for choice, names in rows:
        tools = [_NOTE, function("look"), function("see")]
        answer = await proxy.chat(prompt="hi", model="gpt-5.5 chat", tools=tools, tool_choice=choice)
        assert answer.status == 200, await answer.text()
        assert names == {name for name in model.requests[-1].tool_names if name in ("note", "look", "see")}


async def test_a_named_custom_tool_has_to_be_called(proxy: Proxy, noting: ModelServer) -> None:
    for choice in (
        {"type": "custom", "custom": {"name": "note"}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "custom", "custom": {"name": "note"}}]}},
    ):
        answer = await proxy.chat(prompt="hi", model="gpt-5.5 chat", tools=[_NOTE, function("look")], tool_choice=choice)
        assert (await answer.json())["choices"][0]["finish_reason"] == "tool_calls"
        assert "look" not in noting.requests[-1].tool_names


async def test_calls_are_understood_though_their_ids_are_missing_or_not_their_own(proxy: Proxy, model: ModelServer) -> None:
    def call(**members: object) -> Json:
        return {"function": {"name": "get weather", "arguments": "{}"}, **members}

    messages: list[Json] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call(id="0"), call()]},
        {"role": "tool", "tool_call_id": "0", "content": "a"},
        {"role": "tool", "content": "b"},
        {"role": "assistant", "content": "", "tool_calls": [call(id="0", type="function"), call(id="l" * 65)]},
        {"role": "tool", "tool_call_id": "l" * 65, "content": "d"},
        {"role": "tool", "tool_call_id": "0", "content": "c"},
    ]
    answer = await proxy.chat(messages=messages, model="gpt-5.5 chat")
    assert answer.status == 200, await answer.text()
    calls = told(model.requests[-1], "function_call")[1:]
    outputs = {item["call_id"]: item["output"] for item in told(model.requests[-1], "function_call_output")[1:]}
    assert [outputs[item["call_id"]] for item in calls] == ["a", "b", "c", "d"]
    assert len({item["call_id"] for item in calls}) == 4
    assert all(0 < len(item["call_id"]) <= 64 and item["name"] == "get_weather" for item in calls)


def _named(name: str) -> Json:
    return {"type": "function", "function": {"name": name}}
