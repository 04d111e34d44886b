"""What models in code mode may do with their scripts, and what the client and the next turn then have, on the real CLI."""

import json
import re
from collections.abc import AsyncIterator

import pytest

from codex_proxy.codex import exchange
from codex_proxy.demo import shell
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter, ended, processes_with
from tests.live.test_conversations import SCRIPTS, Chat, shown_to
from tests.live.test_tools import WEATHER

_SLOW = "await new Promise((over) => setTimeout(over, 400)); text('slow work');"
_NEVER_ENDS = 'yield_control(); await tools.exec_command({cmd: "sleep 300.85", yield_time_ms: 20000}); while (true) {}'
_CELL = re.compile(r"Script running with cell ID (\S+)")


async def _script(request: ModelRequest) -> AsyncIterator[Step]:
    call_id = f"call_{len(request.input)}"
    if request.outputs and (cell := _CELL.match(request.outputs[-1])):
        yield Call("wait", json.dumps({"cell_id": cell[1], "terminate": True}), call_id)
    elif request.outputs:
        yield Say(words("Done."))
    else:
        yield shell.script(request.prompt, call_id)
        if "get_weather" in request.tool_names:
            yield Call("get_weather", '{"city": "Rome"}', f"{call_id}_w")


@pytest.fixture
async def proxy(start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]) -> AsyncIterator[Proxy]:
    model.script, environ["CODEX_MAX_PARALLEL_REQUESTS"] = _script, "1"
    async with start_proxy() as started:
        yield started


async def _replaced(proxy: Proxy) -> list[str]:
    counted = await (await proxy.http.get(f"{proxy.address}/metrics")).text()
    return [line for line in counted.splitlines() if line.startswith("codex_proxy_worker_replacements_total{")]


async def test_a_script_before_a_clients_call_runs_to_its_end_however_long_it_takes(
    proxy: Proxy, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_BEGINS_WITHIN", 0.05)
    chat = Chat(proxy, tools=[WEATHER])
    await chat.say(_SLOW)
    chat.give_results()
    assert (await chat.go_on())["content"] == "Done."
    assert "slow work" in shown_to(model.requests[-1])
    assert await _replaced(proxy) == []


async def test_what_is_said_before_a_script_is_not_in_json_without_commands_either(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words('{"n": 1}'))
        else:
            yield Say(words("I will compute."))
            yield shell.script("text(1)", f"call_{len(request.input)}")

    model.script, name, kind = script, f"{SCRIPTS} chat", {"type": "json_object"}
    answer = await (await proxy.chat(prompt="one", model=name, response_format=kind)).json()
    message = answer["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ('{"n": 1}', "I will compute.")
    asked = {"model": name, "input": "one", "text": {"format": kind}}
    response = await (await proxy.http.post(f"{proxy.base_url}/responses", json=asked)).json()
    assert [item["content"][0]["text"] for item in response["output"] if item["type"] == "message"] == ['{"n": 1}']


async def test_a_worker_is_kept_after_a_script_that_its_model_has_ended_or_that_codex_does_not_run(
    proxy: Proxy, model: ModelServer
) -> None:
    assert (await Chat(proxy).say(_NEVER_ENDS))["content"] == "Done."
    assert "Script terminated" in shown_to(model.requests[-1])
    for refused in ('// @exec: {"timeout": 1}\ntext(1)', '// @exec: {"yield_time_ms": 1}'):
        await Chat(proxy).say(refused)
        assert "exec pragma" in shown_to(model.requests[-1])
    assert (await Chat(proxy).say("text('hi')"))["content"] == "Done."
    assert await _replaced(proxy) == []
    for pid in processes_with("sleep 300.85"):
        await ended(pid)
