"""A stream that waits in the queue for longer than a status is held back: it begins, and says what it waits for."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import TURN_LIMIT, ProxyStarter


async def _frames_until(answer: aiohttp.ClientResponse, text: str) -> str:
    """What has come of a stream when it says a text."""
    seen = ""
    async with asyncio.timeout(TURN_LIMIT):
        while text not in seen:
            line = (await answer.content.readline()).decode()
            assert line, seen
            seen += line
    return seen


@pytest.mark.slow
async def test_both_dialects_say_that_they_wait_for_a_worker_and_then_answer(
    environ: dict[str, str], start_proxy: ProxyStarter, model: ModelServer
) -> None:
    let_go = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.prompt == "first":
            await let_go.wait()
        yield Say(words(f"answer to {request.prompt}"))

    model.script = script
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": "1", "PROXY_STORE": "memory"}
    async with start_proxy() as proxy:
        first = asyncio.ensure_future(proxy.chat(prompt="first"))
        while not proxy.server.jobs.running:
            await asyncio.sleep(0.01)
        body = {"input": "second", "stream": True}
        chat, response = await asyncio.gather(
            proxy.chat(prompt="third", stream=True), proxy.http.post(f"{proxy.base_url}/responses", json=body)
        )
        assert (chat.status, response.status) == (200, 200)
        told, seen = await asyncio.gather(_frames_until(chat, "a free worker"), _frames_until(response, '"mcp_call"'))
        assert '"reasoning_content":"waiting for a free worker"' in told
        assert "answer" not in told + seen
        let_go.set()
        assert (await first).status == 200
        assert "[DONE]" in await _frames_until(chat, "[DONE]")
        await _frames_until(response, "event: response.completed")
        last = (await response.content.readline()).decode()
        output = json.loads(last.removeprefix("data: "))["response"]["output"]
        assert [item.get("name", item["type"]) for item in output] == ["wait", "message"]
        assert json.loads(output[0]["arguments"]) == {"for": "a free worker"}
