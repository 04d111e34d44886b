"""POST /v1/responses/input_tokens as the official SDK uses it."""

import openai
import pytest
from openai import AsyncOpenAI

from codex_proxy.demo.model import ModelServer
from tests.support.exchange import HELLO

MODEL = "gpt-5.5 chat"


async def test_tokens_are_counted_with_what_the_request_continues_and_nothing_is_run(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    bare = await client.responses.input_tokens.count(model=MODEL, input="hello world")
    assert (bare.object, bare.input_tokens) == ("response.input_tokens", 9)
    assert model.calls == 0
    first = await client.responses.create(model=MODEL, input="hello world")
    assert first.output_text == HELLO
    more = await client.responses.input_tokens.count(model=MODEL, input="hello world", previous_response_id=first.id)
    made = await client.conversations.create(items=[{"role": "user", "content": "hello world"}])
    inside = await client.responses.input_tokens.count(model=MODEL, input="hello world", conversation=made.id)
    assert inside.input_tokens == 9 + 6
    assert more.input_tokens > inside.input_tokens
    assert model.calls == 1


async def test_what_cannot_be_run_is_not_counted(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.responses.input_tokens.count(model="no-such-model", input="hello world")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        await client.responses.input_tokens.count(model=MODEL, input="hello world", previous_response_id="resp_of_nobody")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.input_tokens.count(model=MODEL)
    assert refused.value.param == "input"
