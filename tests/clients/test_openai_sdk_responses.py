"""The official OpenAI SDK on the responses route: real server, real CLI, scripted model."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import FunctionToolParam, Response, ResponseInputParam, ResponseStreamEvent

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Cut, ModelRequest, Refuse, Say, Step, words
from tests.clients import strict
from tests.clients.toolbox import City, Forecast, answer_with_json_at_last, call_two_tools
from tests.support.exchange import (
    CONVERSATION,
    COUNT,
    HELLO,
    REASONING,
    TEXT,
    messages_in,
    say_hello_and_never_end,
    think_and_answer,
)

MODEL = "gpt-5.5"
QUESTION = "Hello?"
WEATHER, TIME = (
    FunctionToolParam(
        type="function", name=name, strict=True, parameters=openai.pydantic_function_tool(City)["function"]["parameters"]
    )
    for name in ("get_weather", "get_time")
)


def counted(response: Response) -> tuple[int, ...]:
    """Input, cached, output, reasoning and total tokens."""
    usage = response.usage
    assert usage is not None
    cached, reasoning = usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens
    return usage.input_tokens, cached, usage.output_tokens, reasoning, usage.total_tokens


REPORTED = (COUNT.input, COUNT.cached, COUNT.output, COUNT.reasoning, COUNT.input + COUNT.output)


def types_of(response: Response) -> list[str]:
    return [item.type for item in response.output]


def last_response(events: list[ResponseStreamEvent], kind: str = "response.completed") -> Response:
    """The response object of the last event, which is of this kind."""
    last = events[-1]
    assert last.type == kind
    response = getattr(last, "response", None)
    assert isinstance(response, Response)
    return response


async def test_a_response_has_the_text_its_reasoning_and_the_tokens_the_model_reported(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    model.script = think_and_answer
    response = await strict.response(client, model=MODEL, input=QUESTION)
    assert (response.status, response.output_text, response.error) == ("completed", TEXT, None)
    assert types_of(response) == ["reasoning", "message"]
    assert [part.text for part in response.output[0].summary] == [REASONING]  # type: ignore[union-attr]
    assert counted(response) == REPORTED
    assert response.model == MODEL
    assert response.id.startswith("resp_")


async def test_a_stream_tells_every_token_and_every_part_in_the_apis_order(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = think_and_answer
    events = await strict.events(client, model=MODEL, input=QUESTION)
    tokens = len(words(TEXT))
    assert [event.type for event in events] == [
        *("response.created", "response.in_progress"),
        *("response.output_item.added", "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta"),
        *("response.reasoning_summary_text.done", "response.reasoning_summary_part.done", "response.output_item.done"),
        *("response.output_item.added", "response.content_part.added"),
        *["response.output_text.delta"] * tokens,
        *("response.output_text.done", "response.content_part.done", "response.output_item.done"),
        "response.completed",
    ]
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == list(words(TEXT))
    response = last_response(events)
    assert response.output_text == TEXT
    assert counted(response) == REPORTED
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == response.output


async def test_the_sdks_own_accumulator_puts_the_stream_together(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = think_and_answer
    async with client.responses.stream(model=MODEL, input=QUESTION) as stream:
        snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        response = await stream.get_final_response()
    assert snapshots[-1] == response.output_text == TEXT
    assert counted(response) == REPORTED


async def test_a_call_comes_whole_and_as_a_stream_and_its_result_continues_the_conversation(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    model.script = call_two_tools
    conversation: ResponseInputParam = [{"role": "user", "content": "Rome?"}]
    called = await strict.response(client, model=MODEL, input=conversation, tools=[WEATHER], parallel_tool_calls=False)
    (call,) = [item for item in called.output if item.type == "function_call"]
    assert (call.call_id, call.name, call.status) == ("call_w", "get_weather", "completed")
    assert json.loads(call.arguments) == {"city": "Rome"}
    assert called.parallel_tool_calls is False
    (echo,) = called.tools
    assert echo.model_dump(exclude_unset=True) == {**WEATHER, "description": None}

    events = await strict.events(client, model=MODEL, input=conversation, tools=[WEATHER], parallel_tool_calls=False)
    (arguments,) = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert arguments.arguments == call.arguments
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert "".join(deltas) == call.arguments
    assert last_response(events).output[-1].model_dump(exclude={"id"}) == call.model_dump(exclude={"id"})

    conversation += [*called.output, {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]  # type: ignore[list-item]
    answer = await strict.response(client, model=MODEL, input=conversation, tools=[WEATHER])
    assert answer.output_text == "It is sunny."
    assert [item["type"] for item in model.requests[-1].input[-2:]] == ["function_call", "function_call_output"]


async def test_two_calls_come_at_once_and_the_sdk_parses_their_arguments(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = call_two_tools
    tools = [openai.pydantic_function_tool(City, name=name) for name in ("get_weather", "get_time")]
    response = await client.responses.parse(model=MODEL, input="Rome?", tools=tools)
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.parsed_arguments) for call in calls] == [
        ("call_w", "get_weather", City(city="Rome")),
        ("call_t", "get_time", City(city="Rome")),
    ]


async def test_the_sdks_accumulator_puts_the_calls_of_a_stream_together(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = call_two_tools
    async with client.responses.stream(model=MODEL, input="Rome?", tools=[WEATHER, TIME]) as stream:
        snapshots = [event.snapshot async for event in stream if event.type == "response.function_call_arguments.delta"]
        response = await stream.get_final_response()
    calls = [item for item in response.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert [json.loads(text) for text in snapshots] == [{"city": "Rome"}] * 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_agent_gives_a_parsed_answer_after_commentary_and_a_command(
    client: AsyncOpenAI, model: ModelServer, streamed: bool
) -> None:
    model.script = answer_with_json_at_last
    if streamed:
        async with client.responses.stream(model=MODEL, input="Rome?", text_format=Forecast) as stream:
            texts = [event.parsed async for event in stream if event.type == "response.output_text.done"]
            response = await stream.get_final_response()
        assert texts == [Forecast(city="Rome", celsius=21)]
    else:
        response = await client.responses.parse(model=MODEL, input="Rome?", text_format=Forecast)
    assert response.output_parsed == Forecast(city="Rome", celsius=21)
    assert [item.type for item in response.output] == ["reasoning", "mcp_call", "message"]
    asked = model.requests[-1].body["text"]["format"]
    assert (asked["type"], asked["strict"]) == ("json_schema", True)


async def test_max_output_tokens_ends_the_text_without_waiting_for_the_model(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = say_hello_and_never_end
    response = await strict.response(client, model=MODEL, input=QUESTION, max_output_tokens=2)
    assert (response.status, response.output_text, response.max_output_tokens) == ("incomplete", "Hello from ", 2)
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    (message,) = response.output
    assert message.type == "message"
    assert message.status == "incomplete"
    events = await strict.events(client, model=MODEL, input=QUESTION, max_output_tokens=2)
    assert last_response(events, "response.incomplete").output_text == "Hello from "


async def break_off(_: ModelRequest) -> AsyncIterator[Step]:
    yield Say(words("half an answer"))
    yield Cut()


async def test_a_provider_that_breaks_off_ends_the_stream_with_response_failed(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = break_off
    stream = await client.responses.create(model=MODEL, input=QUESTION, stream=True)
    events = [event async for event in stream]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "half an answer"
    failed = last_response(events, "response.failed")
    assert failed.status == "failed"
    assert failed.error is not None
    with pytest.raises(openai.InternalServerError) as whole:
        await client.responses.create(model=MODEL, input=QUESTION)
    assert (whole.value.status_code, whole.value.code) == (502, "upstream_error")


async def test_the_error_of_a_failed_response_has_a_code_of_the_apis(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = break_off
    last_response(await strict.events(client, model=MODEL, input=QUESTION), "response.failed")


async def test_the_half_message_of_a_failed_response_is_incomplete(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = break_off
    stream = await client.responses.create(model=MODEL, input=QUESTION, stream=True)
    (message,) = last_response([event async for event in stream], "response.failed").output
    assert message.type == "message"
    assert message.status == "incomplete"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_event_is_an_http_status(client: AsyncOpenAI, model: ModelServer, stream: bool) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Refuse(429)

    model.script = script
    with pytest.raises(openai.RateLimitError) as refused:
        await client.responses.create(model=MODEL, input=QUESTION, stream=stream)
    assert refused.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("mode", ["agent", "chat"])
async def test_instructions_come_first_and_each_message_is_one_item(
    client: AsyncOpenAI, model: ModelServer, mode: Literal["agent", "chat"]
) -> None:
    (_, instructions), *spoken = CONVERSATION
    conversation = [{"role": role, "content": text} for role, text in spoken]
    response = await strict.response(
        client, model=MODEL, input=conversation, instructions=instructions, extra_body={"x_codex": {"mode": mode}}
    )
    assert messages_in(model.requests[-1])[-4:] == CONVERSATION
    assert (response.instructions, response.output_text) == (instructions, HELLO)
    assert ("exec_command" in model.requests[-1].tool_names) is (mode == "agent")


async def test_effort_summary_and_verbosity_reach_the_model_and_are_echoed(client: AsyncOpenAI, model: ModelServer) -> None:
    response = await strict.response(
        client,
        model=MODEL,
        input=QUESTION,
        reasoning={"effort": "high", "summary": "detailed"},
        text={"verbosity": "low"},
        metadata={"team": "cats"},
    )
    asked = model.requests[-1].body
    assert asked["reasoning"]["effort"] == "high"
    assert asked["reasoning"]["summary"] == "detailed"
    assert asked["text"]["verbosity"] == "low"
    assert response.reasoning is not None
    assert (response.reasoning.effort, response.reasoning.summary) == ("high", "detailed")
    assert response.text is not None
    assert response.text.verbosity == "low"
    assert response.metadata == {"team": "cats"}


async def test_a_named_tool_choice_shows_the_model_that_tool_only_and_is_echoed(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = call_two_tools
    named = {"type": "function", "name": "get_time"}
    response = await strict.response(client, model=MODEL, input="Rome?", tools=[WEATHER, TIME], tool_choice=named)
    assert [item.name for item in response.output if item.type == "function_call"] == ["get_time"]
    assert not isinstance(response.tool_choice, str)
    assert response.tool_choice.model_dump() == named


async def test_what_cannot_be_done_is_a_bad_request_that_names_the_member(client: AsyncOpenAI, model: ModelServer) -> None:
    refusals: list[tuple[dict[str, Any], str]] = [  # Any: wrong on purpose
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": QUESTION, "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0].type"),
        ({"input": QUESTION, "top_logprobs": 3}, "top_logprobs"),
        ({"input": [{"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "http://x.test/a.png"}]}]},
         "input[0].content[0].image_url"),
    ]  # fmt: skip
    for request, param in refusals:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=MODEL, **request)
        assert refused.value.param == param
    assert model.calls == 0
