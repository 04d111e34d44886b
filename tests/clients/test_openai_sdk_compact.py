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
