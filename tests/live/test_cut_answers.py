"""What a cut answer has cost: Codex reports no usage of a model response that is told to stop, so the server counts and says so."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from codex_proxy.demo import shell
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Count, ModelRequest, Say, Step, Think
from tests.conftest import Proxy
from tests.live.test_conversations import SCRIPTS
from tests.support.refusals import post
from tests.support.streams import chunks_of

_PACE = 0.01  # seconds between deltas
_PROMPT = "x" * 400
_ENDLESS = tuple(f"{number} " for number in range(500))
_ASKED: dict[str, dict[str, Any]] = {  # Any: JSON
    "chat/completions": {"messages": [{"role": "user", "content": _PROMPT}]},
    "responses": {"input": _PROMPT},
}


async def _talk(request: ModelRequest) -> AsyncIterator[Step]:
    yield Count(input=1000, cached=600, output=7, reasoning=2)
    if shell.tool(request) and not request.outputs:
        yield shell.run("true", request)
        return
    yield Think(("so",))
    yield Say(_ENDLESS, pace=_PACE)


async def _usage(proxy: Proxy, route: str, members: dict[str, Any]) -> dict[str, Any]:
    answer = await post(proxy, _ASKED[route] | members, route=route)
    assert answer.status == 200, await answer.text()
    if members.get("stream"):
        chunks, _ = await chunks_of(answer)
        found = chunks[-1]["response"] if route == "responses" else chunks[-1]
    else:
        found = msgspec.json.decode(await answer.read())
    usage: dict[str, Any] = found["usage"]
    return {
        "input": usage.get("prompt_tokens", usage.get("input_tokens")),
        "output": usage.get("completion_tokens", usage.get("output_tokens")),
        "reasoning": (usage.get("completion_tokens_details") or usage["output_tokens_details"])["reasoning_tokens"],
        "counted": usage.get("x_codex", {}).get("counted", False),
        "sum": usage["total_tokens"]
        == usage.get("prompt_tokens", usage.get("input_tokens", 0)) + usage.get("completion_tokens", usage.get("output_tokens", 0)),
    }


@pytest.mark.parametrize(
    ("route", "members"),
    [
        ("chat/completions", {"stop": [" 9"]}),
        ("chat/completions", {"max_tokens": 9}),
        ("chat/completions", {"max_completion_tokens": 9, "stream": True, "stream_options": {"include_usage": True}}),
        ("responses", {"max_output_tokens": 9}),
        ("responses", {"max_output_tokens": 9, "stream": True}),
    ],
)
async def test_a_cut_answer_has_usage_that_is_marked_as_counted(
    proxy: Proxy, model: ModelServer, route: str, members: dict[str, Any]
) -> None:
    model.script = _talk
    chat = await _usage(proxy, route, {"model": f"{SCRIPTS} chat"} | members)
    assert (chat["counted"], chat["sum"], chat["reasoning"], chat["input"]) == (True, True, 1, 100)
    assert 10 <= chat["output"] < len(_ENDLESS)
    agent = await _usage(proxy, route, {"model": SCRIPTS} | members)  # its first model response is reported
    assert (agent["counted"], agent["sum"], agent["reasoning"], agent["input"]) == (True, True, 3, 1100)
    assert 17 <= agent["output"] < len(_ENDLESS)


async def test_an_answer_that_ends_by_itself_has_what_was_reported(proxy: Proxy) -> None:
    for route in _ASKED:
        usage = await _usage(proxy, route, {"model": "gpt-5.5 chat"})
        assert usage == {"input": 10, "output": 5, "reasoning": 0, "counted": False, "sum": True}


async def test_the_log_says_that_tokens_are_counted(proxy: Proxy, model: ModelServer, caplog: pytest.LogCaptureFixture) -> None:
    model.script = _talk
    caplog.set_level("INFO")
    await _usage(proxy, "chat/completions", {"model": "gpt-5.5 chat", "max_tokens": 3})
    [line] = [record for record in caplog.records if record.getMessage() == "turn ended"]
    assert line.__dict__["members"]["tokens_counted"] is True
