"""The Conversations API as the official SDK uses it, on the real CLI."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.conversations import Conversation, ConversationItemList

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter
from tests.support.exchange import HELLO, TEXT, messages_in, think_and_answer

MODEL = "gpt-5.5 chat"


def texts(page: Any) -> list[str]:  # Any: a page of the SDK's
    """The text of each message."""
    return ["".join(part.text for part in item.content) for item in page.data if item.type == "message"]


async def test_a_conversation_is_made_read_changed_and_deleted(client: AsyncOpenAI) -> None:
    raw = await client.conversations.with_raw_response.create(metadata={"topic": "demo"})
    made = Conversation.model_validate_json(raw.text)
    assert made.id.startswith("conv_")
    assert (made.object, made.metadata) == ("conversation", {"topic": "demo"})
    assert await client.conversations.retrieve(made.id) == made
    changed = await client.conversations.update(made.id, metadata={"topic": "else"})
    assert (changed.id, changed.created_at, changed.metadata) == (made.id, made.created_at, {"topic": "else"})
    assert await client.conversations.retrieve(made.id) == changed
    deleted = await client.conversations.delete(made.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "conversation.deleted", True)
    with pytest.raises(openai.NotFoundError) as refused:
        await client.conversations.retrieve(made.id)
    assert refused.value.code == "conversation_not_found"


async def test_items_are_added_listed_read_and_removed(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=[{"role": "user", "content": "one"}])
    added = await client.conversations.items.create(
        made.id,
        items=[
            {"type": "message", "role": "assistant", "content": "two"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "three"}]},
        ],
    )
    assert texts(added) == ["two", "three"]
    assert added.has_more is False
    raw = await client.conversations.items.with_raw_response.list(made.id, order="asc")
    listed = ConversationItemList.model_validate_json(raw.text)
    assert texts(listed) == ["one", "two", "three"]
    assert texts(await client.conversations.items.list(made.id)) == ["three", "two", "one"]
    paged = [item.id async for item in client.conversations.items.list(made.id, order="asc", limit=1)]
    assert paged == [item.id for item in listed.data]
    second = added.data[0].id
    assert second is not None
    assert (await client.conversations.items.retrieve(second, conversation_id=made.id)).id == second
    assert (await client.conversations.items.delete(second, conversation_id=made.id)).id == made.id
    assert texts(await client.conversations.items.list(made.id, order="asc")) == ["one", "three"]
    with pytest.raises(openai.NotFoundError) as refused:
        await client.conversations.items.retrieve(second, conversation_id=made.id)
    assert refused.value.code == "item_not_found"


@pytest.mark.parametrize("stored", [True, False])
async def test_responses_in_a_conversation_go_on_from_its_items(client: AsyncOpenAI, model: ModelServer, stored: bool) -> None:
    made = await client.conversations.create(items=[{"role": "developer", "content": "Answer in one word."}])
    first = await client.responses.create(model=MODEL, input="Which colour has the sky?", conversation=made.id, store=stored)
    assert first.conversation is not None
    assert first.conversation.id == made.id
    model.script = think_and_answer
    second = await client.responses.create(model=MODEL, input="And the sea?", conversation={"id": made.id}, store=stored)
    assert second.output_text == TEXT
    asked = [message for message in messages_in(model.requests[-1]) if message[0] != "developer"]
    assert asked == [("user", "Which colour has the sky?"), ("assistant", HELLO), ("user", "And the sea?")]
    assert ("developer", "Answer in one word.") in messages_in(model.requests[-1])
    page = await client.conversations.items.list(made.id, order="asc")
    kinds = [(item.type, getattr(item, "role", None)) for item in page.data]
    spoken = [("message", "user"), ("message", "assistant"), ("message", "user"), ("reasoning", None), ("message", "assistant")]
    assert kinds == [("message", "developer"), *spoken]
    assert page.data[-1].id == second.output[-1].id


async def test_a_tool_loop_in_a_conversation(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.input[-1]["type"] == "function_call_output":
            yield Say(words("It is sunny."))
        else:
            yield Call("weather", '{"place": "here"}', "call_1")

    model.script = script
    made = await client.conversations.create()
    tools: list[Any] = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
    asked = await client.responses.create(model=MODEL, input="Weather?", conversation=made.id, tools=tools)
    call = asked.output[-1]
    assert call.type == "function_call"
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    told = await client.responses.create(model=MODEL, input=[output], conversation=made.id, tools=tools)
    assert told.output_text == "It is sunny."
    page = await client.conversations.items.list(made.id, order="asc")
    assert [item.type for item in page.data] == ["message", "function_call", "function_call_output", "message"]


async def test_a_conversation_makes_one_response_at_a_time_and_one_that_is_left_adds_nothing(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("half"))
        await asyncio.Event().wait()

    model.script = script
    made = await client.conversations.create()
    stream = await client.responses.create(model=MODEL, input="go", conversation=made.id, stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model=MODEL, input="go", conversation=made.id)
    assert refused.value.code == "conversation_locked"
    await stream.close()
    model.script = think_and_answer
    async with asyncio.timeout(20):
        while not await _answered(client, made.id):
            await asyncio.sleep(0.01)
    assert texts(await client.conversations.items.list(made.id, order="asc")) == ["again", TEXT]


async def _answered(client: AsyncOpenAI, conversation: str) -> bool:
    """Whether the conversation was free for one more response."""
    with contextlib.suppress(openai.BadRequestError):
        await client.responses.create(model=MODEL, input="again", conversation=conversation)
        return True
    return False


async def test_a_background_response_adds_its_items_before_it_reads_completed(client: AsyncOpenAI) -> None:
    made = await client.conversations.create()
    queued = await client.responses.create(model=MODEL, input="go", conversation=made.id, background=True)
    async with asyncio.timeout(20):
        while (await client.responses.retrieve(queued.id)).status != "completed":
            await asyncio.sleep(0.01)
    assert texts(await client.conversations.items.list(made.id, order="asc")) == ["go", HELLO]


async def test_what_a_conversation_refuses(client: AsyncOpenAI, model: ModelServer) -> None:
    made = await client.conversations.create()
    first = await client.responses.create(model=MODEL, input="go")
    item: Any = {"role": "user", "content": "x"}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model=MODEL, input="go", conversation=made.id, previous_response_id=first.id)
    assert refused.value.param == "conversation"
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.responses.create(model=MODEL, input="go", conversation="conv_of_nobody")
    assert unknown.value.param == "conversation"
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(model=MODEL, input="go", conversation=first.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(model=MODEL, input="go", previous_response_id=made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.conversations.retrieve(first.id)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.conversations.items.create(made.id, items=[item] * 21)
    assert refused.value.param == "items"
    nobody: Any = {"role": "nobody", "content": "x"}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.conversations.create(items=[nobody])
    assert refused.value.param == "items[0].role"
    with pytest.raises(openai.BadRequestError):
        await client.conversations.create(metadata={"a": "x" * 513})
    assert model.calls == 1


async def test_a_conversation_survives_a_restart(
    environ: dict[str, str], start_proxy: ProxyStarter, model: ModelServer, tmp_path: Path
) -> None:
    environ |= {"PROXY_STORE": f"sqlite:///{tmp_path}/responses.db", "PROXY_API_KEY": "sk-anna"}
    async with start_proxy() as first, sdk(first) as client:
        made = await client.conversations.create()
        await client.responses.create(model=MODEL, input="one", conversation=made.id)
    async with start_proxy() as second, sdk(second) as client:
        await client.responses.create(model=MODEL, input="two", conversation=made.id)
        assert texts(await client.conversations.items.list(made.id, order="asc")) == ["one", HELLO, "two", HELLO]
    assert [text for role, text in messages_in(model.requests[-1]) if role == "user"][-2:] == ["one", "two"]


def sdk(proxy: Proxy) -> AsyncOpenAI:
    """The SDK with the key that the test's server has."""
    return AsyncOpenAI(base_url=proxy.base_url, api_key="sk-anna", max_retries=0)
