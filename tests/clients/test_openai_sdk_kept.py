"""The OpenAI SDK on kept responses: continuing, reading back, background work, resumed streams, idempotency."""

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words

MODEL = "gpt-5.5"


async def test_a_conversation_goes_on_by_previous_response_id_and_is_read_back_and_deleted(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        said = [item for item in request.input if item.get("role") == "assistant"]
        yield Say(words(f"answer {len(said)}"))

    model.script = script
    first = await client.responses.create(model=MODEL, input="one")
    second = await client.responses.create(model=MODEL, input="two", previous_response_id=first.id)
    assert (first.output_text, second.output_text) == ("answer 0", "answer 1")
    assert (await client.responses.retrieve(second.id)).model_dump() == second.model_dump()
    items = [item async for item in client.responses.input_items.list(first.id)]
    assert [item.type for item in items] == ["message"]
    await client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(first.id)
    third = await client.responses.create(model=MODEL, input="three", previous_response_id=second.id)
    assert third.output_text == "answer 2"


async def test_a_background_response_is_polled_resumed_and_cancelled(client: AsyncOpenAI, model: ModelServer) -> None:
    let_go = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Say(tuple(f"t{number} " for number in range(20)))
        if request.prompt == "wait":
            await let_go.wait()
        yield Say(("done",))

    model.script = script
    stream = await client.responses.create(model=MODEL, input="go", background=True, stream=True)
    seen = []
    async for event in stream:
        seen.append(event)
        if len(seen) == 5:
            break
    await stream.close()
    assert seen[0].type == "response.created"
    response_id = seen[0].response.id
    resumed = await client.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number)
    seen += [event async for event in resumed]
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].type == "response.completed"
    assert (await client.responses.retrieve(response_id)).status == "completed"

    waiting = await client.responses.create(model=MODEL, input="wait", background=True)
    assert waiting.status == "queued"
    cancelled = await client.responses.cancel(waiting.id)
    assert cancelled.status == "cancelled"
    let_go.set()


async def test_one_call_with_the_sdks_default_retries_never_causes_two_turns(client: AsyncOpenAI, model: ModelServer) -> None:
    retrying = client.with_options(max_retries=2)

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("half"))
        await asyncio.Event().wait()

    model.script = script
    with pytest.raises(openai.APITimeoutError):
        await retrying.with_options(timeout=1.0, max_retries=0).responses.create(model=MODEL, input="slow")
    assert model.calls == 1
    key = {"Idempotency-Key": "once"}
    with pytest.raises(openai.APIStatusError):
        await retrying.with_options(timeout=1.0).responses.create(model=MODEL, input="slow", extra_headers=key)
    assert model.calls == 2
