"""The official OpenAI SDK on the chat route: tools, structured output, what an agent does on its way, failures."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam, ParsedFunctionToolCall

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Cut, ModelRequest, Raw, Refuse, Say, Step, words
from tests.clients import strict
from tests.clients.toolbox import (
    FORECAST,
    City,
    Forecast,
    answer_with_json_at_last,
    call_two_tools,
    command,
    three_rounds,
)
from tests.support.exchange import COUNT, PNG, REASONING, TEXT, think_and_answer

MODEL = "gpt-5.5"
ROME: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Rome?"}]
WEATHER, TIME = (openai.pydantic_function_tool(City, name=name) for name in ("get_weather", "get_time"))


async def test_every_member_that_the_sdk_requires_is_there_in_every_chunk_too(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = think_and_answer
    whole = await strict.completion(client, model=MODEL, messages=ROME)
    assert whole.choices[0].message.content == TEXT
    assert whole.usage is not None
    assert whole.usage.total_tokens == COUNT.input + COUNT.output
    chunks = await strict.chunks(client, model=MODEL, messages=ROME, stream_options={"include_usage": True})
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == TEXT
    assert chunks[-1].usage == whole.usage


async def test_two_calls_come_at_once_and_the_sdk_parses_their_arguments(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = call_two_tools
    await strict.completion(client, model=MODEL, messages=ROME, tools=[WEATHER, TIME])
    parsed = await client.chat.completions.parse(model=MODEL, messages=ROME, tools=[WEATHER, TIME])
    (choice,) = parsed.choices
    calls = choice.message.tool_calls or []
    assert choice.finish_reason == "tool_calls"
    assert [(call.id, call.function.name, call.function.parsed_arguments) for call in calls] == [
        ("call_w", "get_weather", City(city="Rome")),
        ("call_t", "get_time", City(city="Rome")),
    ]


async def test_one_tool_gives_one_call_and_its_result_continues_the_conversation(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = call_two_tools
    called = await strict.completion(client, model=MODEL, messages=ROME, tools=[WEATHER])
    message = called.choices[0].message
    (call,) = message.tool_calls or []
    assert call.type == "function"
    assert (message.content, json.loads(call.function.arguments)) == (None, {"city": "Rome"})
    # The message of the answer goes back as it came, as the SDK's users do it.
    conversation: list[Any] = [*ROME, message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    answer = await strict.completion(client, model=MODEL, messages=conversation, tools=[WEATHER])
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("It is sunny.", "stop")
    assert model.requests[-1].outputs == ["sunny"]


async def test_the_sdks_accumulator_puts_the_calls_of_a_stream_together(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = call_two_tools
    chunks = await strict.chunks(client, model=MODEL, messages=ROME, tools=[WEATHER, TIME])
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    async with client.chat.completions.stream(model=MODEL, messages=ROME, tools=[WEATHER, TIME]) as stream:
        done = [event async for event in stream if event.type == "tool_calls.function.arguments.done"]
        completion = await stream.get_final_completion()
    assert [(event.index, event.name, event.parsed_arguments) for event in done] == [
        (0, "get_weather", City(city="Rome")),
        (1, "get_time", City(city="Rome")),
    ]
    calls = completion.choices[0].message.tool_calls or []
    assert [call.id for call in calls] == ["call_w", "call_t"]


async def test_a_loop_of_three_rounds_feeds_our_own_messages_back_each_time(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = three_rounds
    conversation: list[Any] = [{"role": "user", "content": "Which city is warmest?"}]  # Any: the SDK's messages, in and out
    rounds = 0
    while True:
        completion = await client.chat.completions.parse(model=MODEL, messages=conversation, tools=[WEATHER])
        message = completion.choices[0].message
        conversation.append(message)
        if not message.tool_calls:
            break
        rounds += 1
        for call in message.tool_calls:
            conversation.append({"role": "tool", "tool_call_id": call.id, "content": f"{city_of(call)}: {10 * rounds}"})
    assert rounds == 3
    assert message.content == "The warmest is Oslo."
    assert model.requests[-1].outputs == ["Rome: 10", "Paris: 20", "Oslo: 30"]
    seen = [item["type"] for item in model.requests[-1].input if item["type"] not in ("message", "reasoning")]
    assert seen == ["function_call", "function_call_output"] * 3


def city_of(call: ParsedFunctionToolCall) -> str:
    argument = call.function.parsed_arguments
    assert isinstance(argument, City)
    return argument.city


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_agent_gives_a_parsed_answer_after_commentary_and_a_command(
    client: AsyncOpenAI, model: ModelServer, streamed: bool
) -> None:
    model.script = answer_with_json_at_last
    if streamed:
        async with client.chat.completions.stream(model=MODEL, messages=ROME, response_format=Forecast) as stream:
            contents = [event.parsed async for event in stream if event.type == "content.done"]
            completion = await stream.get_final_completion()
        assert contents == [FORECAST]
    else:
        completion = await client.chat.completions.parse(model=MODEL, messages=ROME, response_format=Forecast)
    message = completion.choices[0].message
    assert message.parsed == FORECAST
    reasoning = str((message.model_extra or {})["reasoning_content"])
    assert reasoning.splitlines() == ["I will look.", "$ echo looking"]
    asked = model.requests[-1].body["text"]["format"]
    assert (asked["type"], asked["strict"]) == ("json_schema", True)


async def test_what_the_agent_does_is_a_line_of_reasoning_each_and_never_a_call(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if not request.outputs:
            yield command("echo good", "call_1")
        elif len(request.outputs) == 1:
            yield command("exit 3", "call_2")
        else:
            action = {"type": "search", "query": "cats"}
            yield Raw({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action})
            yield Say(words(TEXT))

    model.script = script
    completion = await strict.completion(client, model=MODEL, messages=ROME, web_search_options={})
    message = completion.choices[0].message
    reasoning = str((message.model_extra or {})["reasoning_content"])
    assert reasoning.splitlines() == ["$ echo good", "$ exit 3", "searched the web: cats"]
    assert (message.content, message.tool_calls) == (TEXT, None)
    assert "web_search" in model.requests[-1].tool_names


async def test_a_tools_result_may_be_an_image(client: AsyncOpenAI, model: ModelServer) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}
    parts = [{"type": "text", "text": "a map"}, {"type": "image_url", "image_url": {"url": PNG}}]
    conversation: list[Any] = [  # Any: the SDK's types have no image in a tool's result, its users send one
        *ROME,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": parts},
    ]
    await strict.completion(client, model=MODEL, messages=conversation, tools=[WEATHER])
    text, image = model.requests[-1].input[-1]["output"]
    assert text == {"type": "input_text", "text": "a map"}
    assert image["image_url"] == PNG


async def test_a_named_tool_has_to_be_called_and_is_the_only_one_the_model_sees(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = call_two_tools
    named = {"type": "function", "function": {"name": "get_time"}}
    completion = await strict.completion(client, model=MODEL, messages=ROME, tools=[WEATHER, TIME], tool_choice=named)
    assert [call.id for call in completion.choices[0].message.tool_calls or []] == ["call_t"]


@pytest.mark.parametrize("mode", ["agent", "chat"])
async def test_tools_work_the_same_in_both_modes(client: AsyncOpenAI, model: ModelServer, mode: Literal["agent", "chat"]) -> None:
    model.script = call_two_tools
    completion = await strict.completion(
        client, model=MODEL, messages=ROME, tools=[WEATHER, TIME], extra_body={"x_codex": {"mode": mode}}
    )
    assert [call.id for call in completion.choices[0].message.tool_calls or []] == ["call_w", "call_t"]
    assert ("exec_command" in model.requests[-1].tool_names) is (mode == "agent")


async def test_effort_and_verbosity_reach_the_model(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = think_and_answer
    completion = await strict.completion(client, model=MODEL, messages=ROME, reasoning_effort="high", verbosity="low")
    assert model.requests[-1].body["reasoning"]["effort"] == "high"
    assert model.requests[-1].body["text"]["verbosity"] == "low"
    assert (completion.choices[0].message.model_extra or {})["reasoning_content"] == REASONING


async def test_a_provider_that_breaks_off_in_the_middle_raises_in_the_stream(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("half an answer"))
        yield Cut()

    model.script = script
    pieces = []

    async def read() -> None:
        async for chunk in await client.chat.completions.create(model=MODEL, messages=ROME, stream=True):
            pieces.append(chunk.choices[0].delta.content or "")

    with pytest.raises(openai.APIError) as broken:
        await read()
    assert "".join(pieces) == "half an answer"
    assert broken.value.code == "upstream_error"
    with pytest.raises(openai.InternalServerError) as whole:
        await client.chat.completions.create(model=MODEL, messages=ROME)
    assert (whole.value.status_code, whole.value.code) == (502, "upstream_error")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_chunk_is_an_http_status(client: AsyncOpenAI, model: ModelServer, stream: bool) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Refuse(429)

    model.script = script
    with pytest.raises(openai.RateLimitError) as refused:
        await client.chat.completions.create(model=MODEL, messages=ROME, stream=stream)
    assert refused.value.code == "rate_limit_exceeded"
