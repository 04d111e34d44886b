"""The demo's model behind the real CLI: what a newcomer tries first."""

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from codex_proxy.demo import script
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from tests.conftest import Proxy
from tests.support.pictures import PIXEL


async def _at_once(request: ModelRequest) -> AsyncIterator[Step]:
    """The demo's model without its pauses between words."""
    async for step in script.script(request):
        yield msgspec.structs.replace(step, pace=0.0) if isinstance(step, Say) else step


@pytest.fixture
def demo(proxy: Proxy, model: ModelServer) -> Proxy:
    model.script = _at_once
    return proxy


async def _answer(demo: Proxy, **members: object) -> dict[str, Any]:  # Any: any JSON
    answer = await demo.chat(**members)
    assert answer.status == 200, await answer.text()
    message: dict[str, Any] = (await answer.json())["choices"][0]["message"]
    return message


@pytest.mark.parametrize("name", ["gpt-5.5", "gpt-5.6-sol"])  # the second in code mode, as most are
async def test_it_looks_into_the_directory_and_shows_what_is_there_line_by_line(demo: Proxy, home: Home, name: str) -> None:
    for file in ("one.txt", "two.txt"):
        (home.workdir / file).touch()
    said = (await _answer(demo, prompt="What is in this directory?", model=name))["content"]
    assert "```\none.txt\ntwo.txt\n```" in said
    assert "failed with exit code 3" in (await _answer(demo, prompt="Run `exit 3`", model=name))["content"]
    assert "no shell in chat mode" in (await _answer(demo, prompt="Run `exit 3`", model=f"{name} chat"))["content"]


async def test_prose_runs_nothing(demo: Proxy) -> None:
    message = await _answer(demo, prompt="Run the tests and tell me what fails.")
    assert "You said: “Run the tests and tell me what fails.”" in message["content"]
    assert "tests" not in message.get("reasoning_content", "")


@pytest.mark.parametrize("name", ["gpt-5.5", "gpt-5.6-sol"])
async def test_it_calls_the_tool_that_is_named_or_that_must_be_called(demo: Proxy, name: str) -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    for asked in ({"prompt": "Use look_up"}, {"prompt": "How is it?", "tool_choice": "required"}):
        (call,) = (await _answer(demo, model=name, tools=[tool], **asked))["tool_calls"]
        assert call["function"]["name"] == "look_up"


async def test_it_remembers_fills_a_schema_measures_an_image_and_calls_a_named_tool(demo: Proxy) -> None:
    first = await _answer(demo, prompt="Remember the number 7.")
    messages = [{"role": "user", "content": "Remember the number 7."}, first, {"role": "user", "content": "Which number?"}]
    assert "You asked me to remember the number 7." in (await _answer(demo, messages=messages))["content"]

    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}}
    assert json.loads((await _answer(demo, prompt="It is 36.", response_format=form))["content"]) == {"n": 36}

    parts = [{"type": "text", "text": "How large?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    assert "The image is 1 × 1 pixels" in (await _answer(demo, messages=[{"role": "user", "content": parts}]))["content"]

    tool = {"type": "function", "function": {"name": "get_weather", "parameters": schema}}
    (call,) = (await _answer(demo, prompt="Use get_weather for 3 days", tools=[tool]))["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"n": 3}'}
    (call,) = (await _answer(demo, prompt="How is it?", tools=[tool], tool_choice="required"))["tool_calls"]
    assert call["function"]["name"] == "get_weather"
