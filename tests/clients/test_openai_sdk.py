"""The official OpenAI SDK on the chat route: real server, real CLI, scripted model."""

import asyncio
import re
from typing import Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionMessageParam

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import words
from tests.conftest import TURN_LIMIT, Proxy, ProxyStarter
from tests.support.exchange import (
    CONVERSATION,
    COUNT,
    HELLO,
    PNG,
    REASONING,
    TEXT,
    messages_in,
    parts_of_last_message,
    say_hello_and_never_end,
    think_and_answer,
)

MODEL = "gpt-5.5"
GREETING: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello?"}]


def counted(usage: CompletionUsage | None) -> tuple[int | None, ...]:
    """Prompt, cached, completion, reasoning and total tokens."""
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    cached, reasoning = usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.reasoning_tokens
    return usage.prompt_tokens, cached, usage.completion_tokens, reasoning, usage.total_tokens


REPORTED = (COUNT.input, COUNT.cached, COUNT.output, COUNT.reasoning, COUNT.input + COUNT.output)


async def test_a_completion_has_the_text_its_reasoning_and_the_tokens_the_model_reported(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    model.script = think_and_answer
    completion = await client.chat.completions.create(model=MODEL, messages=GREETING)
    (choice,) = completion.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", TEXT, "stop")
    assert choice.message.model_extra == {"reasoning_content": REASONING}
    assert completion.model == MODEL
    assert counted(completion.usage) == REPORTED


async def test_a_stream_has_a_chunk_for_every_token_and_ends_with_the_usage(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = think_and_answer
    stream = await client.chat.completions.create(
        model=MODEL, messages=GREETING, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert [delta.content for delta in deltas if delta.content] == list(words(TEXT))
    assert "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas) == REASONING
    assert [delta.role for delta in deltas if delta.role] == ["assistant"]
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "stop"]
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert last.choices == []
    assert counted(last.usage) == REPORTED
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {(last.id, last.created, MODEL)}


async def test_the_sdks_own_accumulator_puts_the_stream_together(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = think_and_answer
    async with client.chat.completions.stream(model=MODEL, messages=GREETING, stream_options={"include_usage": True}) as stream:
        completion = await stream.get_final_completion()
    assert completion.choices[0].message.content == TEXT
    assert completion.choices[0].finish_reason == "stop"
    assert counted(completion.usage) == REPORTED


async def test_the_sync_client_gets_the_same_whole_and_as_a_stream(proxy: Proxy, model: ModelServer) -> None:
    def ask_twice() -> tuple[str | None, list[str]]:
        with OpenAI(base_url=proxy.base_url, api_key="any", max_retries=0, timeout=TURN_LIMIT) as client:
            whole = client.chat.completions.create(model=MODEL, messages=GREETING)
            with client.chat.completions.create(model=MODEL, messages=GREETING, stream=True) as stream:
                pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        return whole.choices[0].message.content, pieces

    whole, pieces = await asyncio.to_thread(ask_twice)
    assert whole == HELLO
    assert [piece for piece in pieces if piece] == list(words(HELLO))
    assert model.calls == 2


@pytest.mark.parametrize("mode", ["agent", "chat"])
async def test_each_message_reaches_the_model_as_one_item_whatever_its_text_imitates(
    client: AsyncOpenAI, model: ModelServer, mode: str
) -> None:
    (_, system), (_, question), (_, reply), (_, follow_up) = CONVERSATION
    conversation: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
        {"role": "assistant", "content": reply},
        {"role": "user", "content": [{"type": "text", "text": follow_up}]},
    ]
    await client.chat.completions.create(model=MODEL, messages=conversation, extra_body={"x_codex": {"mode": mode}})
    assert messages_in(model.requests[-1])[-4:] == CONVERSATION


async def test_an_image_reaches_the_model_as_it_was_sent(client: AsyncOpenAI, model: ModelServer) -> None:
    shown: ChatCompletionMessageParam = {
        "role": "user",
        "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PNG}}],
    }
    await client.chat.completions.create(model=MODEL, messages=[shown])
    now = parts_of_last_message(model.requests[-1])
    assert {"type": "input_text", "text": "What is this?"} in now
    assert [part["image_url"] for part in now if part["type"] == "input_image"] == [PNG]

    reply: ChatCompletionMessageParam = {"role": "assistant", "content": "A pixel."}
    await client.chat.completions.create(model=MODEL, messages=[shown, reply, *GREETING])
    before = model.requests[-1].input[-3]["content"]
    assert [part["image_url"] for part in before if part["type"] == "input_image"] == [PNG]


@pytest.mark.parametrize("detail", ["auto", "high", "low"])
async def test_the_model_sees_an_image_of_any_detail(
    client: AsyncOpenAI, model: ModelServer, detail: Literal["auto", "low", "high"]
) -> None:
    shown: ChatCompletionMessageParam = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": PNG, "detail": detail}}],
    }
    await client.chat.completions.create(model=MODEL, messages=[shown])
    assert [part["type"] for part in parts_of_last_message(model.requests[-1])] == ["input_image"]


async def test_the_model_list_is_short_and_a_name_with_an_effort_is_known_all_the_same(client: AsyncOpenAI) -> None:
    listed = {entry.id: entry async for entry in client.models.list()}
    assert {MODEL, f"{MODEL} chat"} <= listed.keys()
    assert f"{MODEL} high" not in listed
    assert await client.models.retrieve(f"{MODEL} chat") == listed[f"{MODEL} chat"]
    one = await client.models.retrieve(f"{MODEL} high")
    assert (one.id, one.object, one.owned_by) == (f"{MODEL} high", "model", "openai")
    assert (one.model_extra or {})["x_codex"]["reasoning_effort"] == "high"


async def test_the_effort_in_the_models_name_reaches_the_model_and_the_parameter_overrides_it(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    named = await client.chat.completions.create(model=f"{MODEL} high", messages=GREETING)
    await client.chat.completions.create(model=MODEL, messages=GREETING, reasoning_effort="low")
    await client.chat.completions.create(model=f"{MODEL} high", messages=GREETING, reasoning_effort="xhigh")
    assert [request.body["reasoning"]["effort"] for request in model.requests] == ["high", "low", "xhigh"]
    assert [request.body["model"] for request in model.requests] == [MODEL] * 3
    assert named.model == f"{MODEL} high"


async def test_an_unknown_model_is_a_not_found_error(client: AsyncOpenAI, model: ModelServer) -> None:
    with pytest.raises(openai.NotFoundError, match=re.escape(MODEL)) as asked:
        await client.chat.completions.create(model="gpt-nope", messages=GREETING)
    assert (asked.value.code, asked.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError) as looked_up:
        await client.models.retrieve("gpt-nope")
    assert looked_up.value.code == "model_not_found"
    assert model.calls == 0


async def test_a_wrong_key_is_an_authentication_error(
    start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer
) -> None:
    environ["PROXY_API_KEY"] = "sk-right"
    async with (
        start_proxy() as proxy,
        AsyncOpenAI(base_url=proxy.base_url, api_key="sk-wrong", max_retries=0, timeout=TURN_LIMIT) as client,
    ):
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.chat.completions.create(model=MODEL, messages=GREETING, stream=True)
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
        assert model.calls == 0
        right = client.with_options(api_key="sk-right")
        answer = await right.chat.completions.create(model=MODEL, messages=GREETING)
        assert answer.choices[0].message.content == HELLO


async def test_x_codex_in_the_extra_body_chooses_the_mode(client: AsyncOpenAI, model: ModelServer) -> None:
    await client.chat.completions.create(model=MODEL, messages=GREETING)
    await client.chat.completions.create(model=MODEL, messages=GREETING, extra_body={"x_codex": {"mode": "chat"}})
    agent, chat = model.requests
    assert "exec_command" in agent.tool_names
    assert "exec_command" not in chat.tool_names


async def test_an_unknown_member_of_x_codex_is_a_bad_request_that_names_it(client: AsyncOpenAI, model: ModelServer) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=MODEL, messages=GREETING, extra_body={"x_codex": {"nope": 1}})
    assert (refused.value.param, refused.value.type) == ("x_codex.nope", "invalid_request_error")
    assert model.calls == 0


async def test_a_stop_sequence_and_max_tokens_end_the_text_without_waiting_for_the_model(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    model.script = say_hello_and_never_end
    async with asyncio.timeout(TURN_LIMIT):
        stopped = await client.chat.completions.create(model=MODEL, messages=GREETING, stop=["the scripted", "never said"])
        cut = await client.chat.completions.create(model=MODEL, messages=GREETING, max_tokens=2)
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("Hello from ", "stop")
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("Hello from ", "length")


@pytest.mark.parametrize(("limit", "reason"), [({"stop": "the scripted"}, "stop"), ({"max_tokens": 2}, "length")])
async def test_they_end_a_stream_too(client: AsyncOpenAI, model: ModelServer, limit: dict[str, object], reason: str) -> None:
    model.script = say_hello_and_never_end
    async with asyncio.timeout(TURN_LIMIT):  # the client's own never comes while the server keeps the stream alive
        stream = await client.chat.completions.create(model=MODEL, messages=GREETING, stream=True, extra_body=limit)
        choices = [chunk.choices[0] async for chunk in stream]
    assert "".join(choice.delta.content or "" for choice in choices) == "Hello from "
    assert choices[-1].finish_reason == reason


async def test_limits_that_are_not_reached_change_nothing(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model=MODEL, messages=GREETING, max_completion_tokens=100, stop="model. And then"
    )
    assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == (HELLO, "stop")
