"""LangChain's ChatOpenAI on the chat route: real server, real CLI, scripted model."""

import asyncio
import re
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import words
from tests.clients.langchain_client import MODEL, REPORTED, connected, counted
from tests.conftest import TURN_LIMIT, Proxy, ProxyStarter
from tests.support.exchange import (
    CONVERSATION,
    HELLO,
    PNG,
    TEXT,
    messages_in,
    parts_of_last_message,
    say_hello_and_never_end,
    think_and_answer,
)


async def test_an_answer_has_the_text_without_its_reasoning_and_the_tokens_the_model_reported(
    proxy: Proxy, model: ModelServer
) -> None:
    model.script = think_and_answer
    async with connected(proxy) as chat:
        answer = await chat.ainvoke("Hello?")
    assert answer.content == TEXT  # LangChain shows no reasoning_content of the chat API
    assert answer.response_metadata["finish_reason"] == "stop"
    assert counted(answer) == REPORTED


async def test_a_stream_has_a_chunk_for_every_token_and_adds_up_to_the_answer(proxy: Proxy, model: ModelServer) -> None:
    model.script = think_and_answer
    async with connected(proxy, stream_usage=True) as chat:
        chunks = [chunk async for chunk in chat.astream("Hello?")]
    assert [chunk.content for chunk in chunks if chunk.content] == list(words(TEXT))
    whole = sum(chunks[1:], chunks[0])
    assert isinstance(whole, AIMessageChunk)
    assert whole.content == TEXT
    assert whole.response_metadata["finish_reason"] == "stop"
    assert counted(whole) == REPORTED


async def test_each_message_reaches_the_model_as_one_item_whatever_its_text_imitates(proxy: Proxy, model: ModelServer) -> None:
    (_, system), (_, question), (_, reply), (_, follow_up) = CONVERSATION
    async with connected(proxy) as chat:
        await chat.ainvoke([SystemMessage(system), HumanMessage(question), AIMessage(reply), HumanMessage(follow_up)])
    assert messages_in(model.requests[-1])[-4:] == CONVERSATION


async def test_an_answer_can_be_given_back_as_history(proxy: Proxy, model: ModelServer) -> None:
    question, follow_up = HumanMessage("Hello?"), HumanMessage("Again?")
    async with connected(proxy) as chat:
        answer = await chat.ainvoke([question])
        await chat.ainvoke([question, answer, follow_up])
    assert messages_in(model.requests[-1])[-3:] == [("user", "Hello?"), ("assistant", HELLO), ("user", "Again?")]


@pytest.mark.parametrize(
    "image",
    [
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image", "mime_type": "image/png", "base64": PNG.partition(",")[2]},
    ],
    ids=["OpenAI's form", "LangChain's form"],
)
async def test_an_image_reaches_the_model_as_it_was_sent(proxy: Proxy, model: ModelServer, image: dict[str, Any]) -> None:
    async with connected(proxy) as chat:
        await chat.ainvoke([HumanMessage([{"type": "text", "text": "What is this?"}, image])])
    parts = parts_of_last_message(model.requests[-1])
    assert {"type": "input_text", "text": "What is this?"} in parts
    assert [part["image_url"] for part in parts if part["type"] == "input_image"] == [PNG]


async def test_the_effort_reaches_the_model_from_its_name_and_from_the_parameter(proxy: Proxy, model: ModelServer) -> None:
    async with connected(proxy, model=f"{MODEL} high") as chat:
        await chat.ainvoke("Hello?")
    async with connected(proxy, reasoning_effort="low") as chat:
        await chat.ainvoke("Hello?")
    assert [request.body["reasoning"]["effort"] for request in model.requests] == ["high", "low"]
    assert [request.body["model"] for request in model.requests] == [MODEL] * 2


async def test_an_unknown_model_is_a_not_found_error(proxy: Proxy, model: ModelServer) -> None:
    async with connected(proxy, model="gpt-nope") as chat:
        with pytest.raises(openai.NotFoundError, match=re.escape(MODEL)) as refused:
            await chat.ainvoke("Hello?")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert model.calls == 0


async def test_a_wrong_key_is_an_authentication_error(
    start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer
) -> None:
    environ["PROXY_API_KEY"] = "sk-right"
    async with start_proxy() as proxy:
        async with connected(proxy, api_key="sk-wrong") as chat:
            with pytest.raises(openai.AuthenticationError) as refused:
                await chat.ainvoke("Hello?")
        assert refused.value.code == "invalid_api_key"
        assert model.calls == 0
        async with connected(proxy, api_key="sk-right") as chat:
            assert (await chat.ainvoke("Hello?")).content == HELLO


async def test_x_codex_in_the_extra_body_chooses_the_mode(proxy: Proxy, model: ModelServer) -> None:
    async with connected(proxy, extra_body={"x_codex": {"mode": "chat"}}) as chat:
        await chat.ainvoke("Hello?")
    assert "exec_command" not in model.requests[-1].tool_names


async def test_an_unknown_member_of_x_codex_is_a_bad_request_that_names_it(proxy: Proxy, model: ModelServer) -> None:
    async with connected(proxy, extra_body={"x_codex": {"nope": 1}}) as chat:
        with pytest.raises(openai.BadRequestError) as refused:
            await chat.ainvoke("Hello?")
    assert refused.value.param == "x_codex.nope"
    assert model.calls == 0


async def test_a_stop_sequence_and_max_tokens_end_the_text_without_waiting_for_the_model(proxy: Proxy, model: ModelServer) -> None:
    model.script = say_hello_and_never_end
    async with connected(proxy) as chat, asyncio.timeout(TURN_LIMIT):
        stopped = await chat.ainvoke("Hello?", stop=["the scripted"])
    async with connected(proxy, max_tokens=2) as chat, asyncio.timeout(TURN_LIMIT):
        cut = await chat.ainvoke("Hello?")
    assert (stopped.content, stopped.response_metadata["finish_reason"]) == ("Hello from ", "stop")
    assert (cut.content, cut.response_metadata["finish_reason"]) == ("Hello from ", "length")


@pytest.mark.parametrize(("limit", "reason"), [({"stop": ["the scripted"]}, "stop"), ({"max_tokens": 2}, "length")])
async def test_they_end_a_stream_too(proxy: Proxy, model: ModelServer, limit: dict[str, Any], reason: str) -> None:
    model.script = say_hello_and_never_end
    async with connected(proxy, stream_usage=True, **limit) as chat, asyncio.timeout(TURN_LIMIT):
        chunks = [chunk async for chunk in chat.astream("Hello?")]
    whole = sum(chunks[1:], chunks[0])
    assert (whole.content, whole.response_metadata["finish_reason"]) == ("Hello from ", reason)
