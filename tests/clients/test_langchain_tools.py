"""LangChain's ChatOpenAI with tools and structured output, on both routes: real server, real CLI, scripted model."""

import json
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.clients.langchain_client import REPORTED, connected, counted
from tests.clients.toolbox import CITIES, FORECAST, Forecast, answer_with_json_at_last, call_two_tools, three_rounds
from tests.conftest import Proxy
from tests.support.exchange import COUNT, REASONING, TEXT, think_and_answer

BOTH = pytest.mark.parametrize("use_responses_api", [False, True], ids=["chat", "responses"])


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: sunny"


@tool
def get_time(city: str) -> str:
    """The time of a city."""
    return f"{city}: noon"


@BOTH
async def test_bound_tools_are_called_at_once_and_a_stream_adds_up_to_the_same_calls(
    proxy: Proxy, model: ModelServer, use_responses_api: bool
) -> None:
    model.script = call_two_tools
    async with connected(proxy, use_responses_api=use_responses_api, stream_usage=True) as chat:
        bound = chat.bind_tools([get_weather, get_time])
        whole = await bound.ainvoke("Rome?")
        chunks = [chunk async for chunk in bound.astream("Rome?")]
    streamed = sum(chunks[1:], chunks[0])
    assert isinstance(streamed, AIMessageChunk)
    for message in (whole, streamed):
        assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == [
            ("call_w", "get_weather", {"city": "Rome"}),
            ("call_t", "get_time", {"city": "Rome"}),
        ]
        assert message.invalid_tool_calls == []
        assert message.usage_metadata is not None


@BOTH
async def test_a_loop_of_three_rounds_feeds_the_messages_back_each_time(
    proxy: Proxy, model: ModelServer, use_responses_api: bool
) -> None:
    model.script = three_rounds
    conversation: list[AnyMessage] = [HumanMessage("Which city is warmest?")]
    async with connected(proxy, use_responses_api=use_responses_api) as chat:
        bound = chat.bind_tools([get_weather])
        while (answer := await bound.ainvoke(conversation)).tool_calls:
            assert isinstance(answer, AIMessage)
            results = [await get_weather.ainvoke(call) for call in answer.tool_calls]
            assert all(isinstance(result, ToolMessage) for result in results)
            conversation += [answer, *results]
    assert answer.text == "The warmest is Oslo."
    assert model.requests[-1].outputs == [f"{city}: sunny" for city in CITIES]


@BOTH
@pytest.mark.parametrize("choice", ["get_time", "any"])
async def test_tool_choice_is_kept(
    proxy: Proxy, model: ModelServer, use_responses_api: bool, choice: Literal["get_time", "any"]
) -> None:
    model.script = call_two_tools
    async with connected(proxy, use_responses_api=use_responses_api) as chat:
        bound = chat.bind_tools([get_weather, get_time], tool_choice=choice, parallel_tool_calls=False)
        answer = await bound.ainvoke("Rome?")
    assert [call["name"] for call in answer.tool_calls] == ["get_time" if choice == "get_time" else "get_weather"]


@BOTH
async def test_structured_output_by_default_is_by_schema_and_comes_after_commentary_and_a_command(
    proxy: Proxy, model: ModelServer, use_responses_api: bool
) -> None:
    model.script = answer_with_json_at_last
    async with connected(proxy, use_responses_api=use_responses_api) as chat:
        forecast = await chat.with_structured_output(Forecast).ainvoke("Rome?")
    assert forecast == FORECAST
    asked = model.requests[-1].body["text"]["format"]
    assert (asked["type"], asked["strict"]) == ("json_schema", True)


_PERSON = {
    "title": "Person",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}
_AGES = {
    "title": "Ages",
    "type": "object",
    "properties": {"ages": {"type": "object", "additionalProperties": {"type": "integer"}}},
    "required": ["ages"],
}


@BOTH
@pytest.mark.parametrize(
    ("schema", "method", "answers", "found", "enforced"),
    [
        (_PERSON, "json_schema", ['{"name": "Anna", "age": null}'], {"name": "Anna"}, True),
        (_AGES, "json_schema", ["Anna is 3.", '```json\n{"ages": {"Anna": 3}}\n```'], {"ages": {"Anna": 3}}, False),
        (_PERSON, "json_mode", ['```json\n{"name": "Anna"}\n```'], {"name": "Anna"}, False),
    ],
)
async def test_structured_output_of_a_dictionary_is_what_the_schema_says(
    proxy: Proxy,
    model: ModelServer,
    *,
    use_responses_api: bool,
    schema: dict[str, object],
    method: Literal["json_schema", "json_mode"],
    answers: list[str],
    found: dict[str, object],
    enforced: bool,
) -> None:
    left = list(answers)

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words(left.pop(0)))

    model.script = script
    async with connected(proxy, use_responses_api=use_responses_api, model="gpt-5.5 chat") as chat:
        assert await chat.with_structured_output(schema, method=method).ainvoke("As JSON: Anna?") == found
    assert left == []
    assert ("format" in model.requests[-1].body.get("text", {})) is enforced


@BOTH
async def test_structured_output_by_function_calling_is_a_call_that_has_to_be_made(
    proxy: Proxy, model: ModelServer, use_responses_api: bool
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        assert "Forecast" in request.tool_names
        yield Call("Forecast", json.dumps(FORECAST.model_dump()), "call_f")

    model.script = script
    async with connected(proxy, use_responses_api=use_responses_api) as chat:
        forecast = await chat.with_structured_output(Forecast, method="function_calling").ainvoke("Rome?")
    assert forecast == FORECAST


@BOTH
async def test_a_stream_adds_up_to_the_text_and_the_tokens(proxy: Proxy, model: ModelServer, use_responses_api: bool) -> None:
    model.script = think_and_answer
    async with connected(proxy, use_responses_api=use_responses_api, stream_usage=True) as chat:
        chunks = [chunk async for chunk in chat.astream("Hello?")]
    whole = sum(chunks[1:], chunks[0])
    assert isinstance(whole, AIMessageChunk)
    assert (whole.text, counted(whole)) == (TEXT, REPORTED)
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1


async def test_the_responses_api_shows_langchain_the_reasoning(proxy: Proxy, model: ModelServer) -> None:
    model.script = think_and_answer
    async with connected(proxy, use_responses_api=True) as chat:
        answer = await chat.ainvoke("Hello?")
    reasoning, text = answer.content_blocks
    assert reasoning["type"] == "reasoning"
    assert reasoning["reasoning"] == REASONING
    assert text["type"] == "text"
    assert text["text"] == TEXT
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == COUNT.input + COUNT.output
