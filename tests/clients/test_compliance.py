"""llm-comply, a checker of endpoints against the specifications of Open Responses and of OpenAI's chat completions.

All that it finds is listed here with the reason. What is listed and not found any more fails, too.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words
from tests.conftest import TURN_LIMIT, Proxy
from tests.support.exchange import COUNT, REASONING, TEXT


class Finding(NamedTuple):
    """An error or a warning of the checker's; `test` "" stands for any of its tests."""

    test: str
    text: str


_NO_MODEL = "SPEC.md, section 3: a request without a model gets the CLI's default model"
_NO_REASONING = "the checker sends `reasoning`, which OpenAI's chat completions refuse: there it is reasoning_effort, and we say so"
_EVENT_NAME = "llm-comply 0.5.0 derives a schema's name from the event's; the specification has the event under another one"

OPEN_RESPONSES = {
    Finding("error-handling", "HTTP 200 (expected [400, 422])"): _NO_MODEL,
    Finding("compact-missing-model", "HTTP 200 (expected [400, 404, 422])"): _NO_MODEL,
    Finding("", "unknown SSE event type: response.reasoning_summary_text.delta"): _EVENT_NAME,
    Finding("", "unknown SSE event type: response.reasoning_summary_text.done"): _EVENT_NAME,
}
CHAT_COMPLETIONS = {
    Finding("chat-error-handling", "HTTP 200 (expected [400, 422])"): _NO_MODEL,
    **dict.fromkeys(
        (
            Finding("chat-reasoning-summary", "HTTP 400 (expected [200])"),
            Finding("chat-reasoning-summary", "response.choices is missing or empty"),
            Finding("chat-reasoning-summary", "response.choices is empty"),
            Finding("chat-reasoning-summary", "response.usage is missing"),
            Finding("chat-reasoning-summary", "response.id is missing or empty"),
            Finding(
                "chat-reasoning-summary",
                "usage.completion_tokens_details.reasoning_tokens is 0 (model may not support reasoning)",
            ),
        ),
        _NO_REASONING,
    ),
}


async def answer_or_call(request: ModelRequest) -> AsyncIterator[Step]:
    """A script that does what the checker's prompts ask for."""
    if "get_weather" in request.tool_names:
        yield Call("get_weather", '{"location":"San Francisco"}', "call_w")
    else:
        yield Think((REASONING,))
        yield Say(words(TEXT))
    yield COUNT


@pytest.mark.parametrize(
    ("specification", "tests", "listed"), [("open-responses", 13, OPEN_RESPONSES), ("openai-chat", 9, CHAT_COMPLETIONS)]
)
async def test_the_checker_finds_what_is_listed_and_nothing_else(
    proxy: Proxy, model: ModelServer, specification: str, tests: int, listed: dict[Finding, str]
) -> None:
    model.script = answer_or_call
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llm_comply.cli", "--json", "--format", specification),
        *("--base-url", proxy.base_url, "--api-key", "any", "--model", "gpt-5.5"),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(TURN_LIMIT):
        output, _ = await process.communicate()
    report = json.loads(output)
    assert (report["summary"]["total"], report["summary"]["skipped"]) == (tests, 0)
    found = {
        Finding(result["id"], text)
        for result in report["results"]
        for text in (*result.get("errors", ()), *result.get("warnings", ()))
    }
    anywhere = {finding.text for finding in listed if not finding.test}
    assert {Finding("", finding.text) if finding.text in anywhere else finding for finding in found} == listed.keys()
