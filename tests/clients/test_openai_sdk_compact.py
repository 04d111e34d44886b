"""POST /v1/responses/compact as the official SDK uses it, on the real CLI."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseCompactionItem

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Count, Fail, ModelRequest, Say, Step, words
from tests.support.exchange import PNG, messages_in

MODEL = "gpt-5.5"
SUMMARY = "The weather here is sunny; it was asked for with the tool weather."
CONVERSATION: list[Any] = [
    {"role": "developer", "content": "Answer in one word."},
    {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}, {"type": "input_image", "image_url": PNG}]},
    {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
    {"role": "assistant", "content": "Sunny."},
]


async def summarise(request: ModelRequest) -> AsyncIterator[Step]:
    """A script: a summary where one is asked for, else an answer."""
    asked_for = "summary" in request.prompt
    yield Say(words(SUMMARY if asked_for else "Thanks."))
    yield Count(input=100, output=20)


async def test_a_conversation_goes_on_from_its_compaction(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = summarise
    raw = await client.responses.with_raw_response.compact(model=MODEL, input=CONVERSATION, instructions="Be brief.")
    compacted = raw.parse()  # not strictly: its types have no message of a user, which its documentation promises
    assert (compacted.object, compacted.usage.total_tokens) == ("response.compaction", 120)
    assert raw.headers["x-codex-sandbox"] == "none: no command can run"
    assert "sunny" in str(model.requests[-1].input)

    *messages, item = json.loads(raw.text)["output"]
    assert [(message["role"], message["content"][0]["text"]) for message in messages] == [
        ("developer", "Answer in one word."),
        ("user", "Weather?"),
    ]
    assert messages[1]["content"][1]["image_url"] == PNG
    assert ResponseCompactionItem.model_validate(item).id.startswith("cmp_")
    assert SUMMARY not in item["encrypted_content"]

    again: Any = [*messages, item, {"role": "user", "content": "And tomorrow?"}]
    answer = await client.responses.create(model=f"{MODEL} chat", input=again)
    assert answer.output_text == "Thanks."
    asked = messages_in(model.requests[-1])
    assert [text for role, text in asked if role == "user"] == ["Weather?", "And tomorrow?"]
    [summary] = [text for role, text in asked if role == "assistant"]
    assert summary.endswith(SUMMARY)
    assert not any(entry["type"].startswith("function_call") for entry in model.requests[-1].input)


async def test_what_is_kept_is_compacted_by_its_id(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = summarise
    first = await client.responses.create(model=f"{MODEL} chat", input="Which colour has the sky?")
    compacted = await client.responses.compact(model=MODEL, previous_response_id=first.id)
    assert [entry.type for entry in compacted.output] == ["message", "compaction"]
    assert "Thanks." in str(model.requests[-1].input)
    assert (await client.responses.retrieve(first.id)).output_text == "Thanks."


@pytest.mark.parametrize(
    ("request_", "status", "param"),
    [
        ({"model": MODEL}, 400, "input"),
        ({"model": MODEL, "input": 5}, 400, "input"),
        ({"model": "no-such-model", "input": "go"}, 404, "model"),
        ({"model": MODEL, "previous_response_id": "resp_of_nobody"}, 404, "previous_response_id"),
        ({"model": MODEL, "input": [{"type": "compaction", "encrypted_content": "gAAAAB"}]}, 400, "input[0].encrypted_content"),
    ],
)
async def test_what_cannot_be_compacted_is_refused(
    client: AsyncOpenAI, model: ModelServer, request_: Any, status: int, param: str
) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        await client.responses.compact(**request_)
    assert (refused.value.status_code, refused.value.param) == (status, param)
    assert model.calls == 0


async def test_a_summary_that_fails_or_is_empty_is_an_error(client: AsyncOpenAI, model: ModelServer) -> None:
    async def fail(_: ModelRequest) -> AsyncIterator[Step]:
        yield Fail("invalid_prompt")

    async def nothing(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say((" ",))

    for model.script in (fail, nothing):
        with pytest.raises(openai.APIStatusError):
            await client.responses.compact(model=MODEL, input="go")


async def test_a_trigger_at_the_end_of_the_input_is_answered_with_a_compaction_item(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    model.script = summarise
    trigger: Any = {"type": "compaction_trigger"}
    tools: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]
    async with client.responses.stream(model=MODEL, input=[*CONVERSATION, trigger], tools=tools) as stream:
        events = [event.type async for event in stream]
        compacted = await stream.get_final_response()
    assert [name for name in events if "text" in name] == []
    assert events[2] == "response.output_item.added"
    assert "response.compaction.compacting" in events
    assert events[-2:] == ["response.output_item.done", "response.completed"]
    [item] = compacted.output
    assert isinstance(item, ResponseCompactionItem)
    assert SUMMARY not in item.encrypted_content
    assert "weather" not in model.requests[-1].tool_names
    kept = await client.responses.input_items.with_raw_response.list(compacted.id)
    assert json.loads(kept.text)["data"][0]["type"] == trigger["type"]  # and not what the model was asked
    by_id = await client.responses.create(model=MODEL, input="Thanks!", previous_response_id=compacted.id)
    given: list[Any] = [item.model_dump(), {"role": "user", "content": "Thanks!"}]
    by_item = await client.responses.create(model=MODEL, input=given)
    assert by_id.output_text == by_item.output_text == "Thanks."
    for request in model.requests[-2:]:
        *_, summary, last = messages_in(request)
        assert (summary[0], SUMMARY in summary[1], last) == ("assistant", True, ("user", "Thanks!"))
        assert "Weather?" not in str(request.input)


async def test_a_trigger_without_a_summary_leaves_the_conversation_as_it_is(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("one two three four" if "summary" in request.prompt else "Thanks."))

    model.script = script
    trigger: Any = {"type": "compaction_trigger"}
    cut = await client.responses.create(model=MODEL, input=[*CONVERSATION, trigger], max_output_tokens=2)
    assert (cut.status, cut.output) == ("incomplete", [])
    await client.responses.create(model=MODEL, input="Thanks!", previous_response_id=cut.id)
    assert [text for role, text in messages_in(model.requests[-1]) if role == "assistant"] == ["Sunny."]
    conversation = await client.conversations.create()
    user: Any = {"role": "user", "content": "hi"}
    cases: dict[str, Any] = {
        "must be the last item": {"input": [trigger, user]},
        "nothing to compact": {"input": [trigger]},
        "cannot be compacted in place": {"input": [user, trigger], "conversation": conversation.id},
    }
    for problem, request in cases.items():
        with pytest.raises(openai.BadRequestError, match=problem):
            await client.responses.create(model=MODEL, **request)
