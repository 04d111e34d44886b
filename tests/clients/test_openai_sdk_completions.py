"""POST /v1/completions as the official SDK uses it, on the real CLI."""

from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI
from openai.types import Completion

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Fail, ModelRequest, Step
from tests.support.exchange import COUNT, TEXT, messages_in, think_and_answer

MODEL = "gpt-5.5"


@pytest.mark.parametrize("prompt", ["Say something", ["Say something"]])
async def test_a_prompt_is_answered_with_text_in_chat_mode(
    client: AsyncOpenAI, model: ModelServer, prompt: str | list[str]
) -> None:
    model.script = think_and_answer
    raw = await client.completions.with_raw_response.create(model=MODEL, prompt=prompt, temperature=0.2)
    answer = Completion.model_validate_json(raw.text)
    assert answer.id.startswith("cmpl-")
    assert [(choice.text, choice.index, choice.finish_reason) for choice in answer.choices] == [(TEXT, 0, "stop")]
    assert answer.usage is not None
    assert answer.usage.total_tokens == COUNT.input + COUNT.output
    assert raw.headers["x-codex-sandbox"] == "none: no command can run"
    assert raw.headers["x-codex-ignored"] == "temperature"
    assert messages_in(model.requests[-1])[-1] == ("user", "Say something")


async def test_a_stream_of_pieces_with_its_usage(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = think_and_answer
    stream = await client.completions.create(
        model=MODEL, prompt="Say something", stream=True, stream_options={"include_usage": True}
    )
    pieces = [piece async for piece in stream]
    assert "".join(choice.text for piece in pieces for choice in piece.choices) == TEXT
    assert len(pieces) > 5
    assert [piece.choices[0].finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 2) + ["stop"]
    assert pieces[-1].usage is not None
    assert pieces[-1].choices == []


async def test_max_tokens_and_stop_end_the_text(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = think_and_answer
    cut = await client.completions.create(model=MODEL, prompt="Say something", max_tokens=3)
    assert (cut.choices[0].text, cut.choices[0].finish_reason) == ("The quick brown ", "length")
    stopped = await client.completions.create(model=MODEL, prompt="Say something", stop="fox")
    assert (stopped.choices[0].text, stopped.choices[0].finish_reason) == ("The quick brown ", "stop")


async def test_an_agent_is_refused_before_anything_runs(client: AsyncOpenAI, model: ModelServer) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.completions.create(model=f"{MODEL} agent", prompt="Say something")
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "model")
    assert model.calls == 0


async def test_a_failure_of_the_model_is_an_error(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Fail("invalid_prompt")

    model.script = script
    with pytest.raises(openai.APIStatusError):
        await client.completions.create(model=MODEL, prompt="Say something")
