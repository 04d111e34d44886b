"""Models in code mode, which most are: their scripts run commands, and leave nothing to other conversations, on the real CLI."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator

from codex_proxy.codex import wire
from codex_proxy.codex.descendants import below
from codex_proxy.codex.scripts import Scripts
from codex_proxy.demo import shell
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter, ended, processes_with
from tests.live.test_conversations import SCRIPTS, cached_share, told_once

_HOST = "codex-code-mode-host"
_RUNS = 'const run = await tools.exec_command({cmd: "sleep 300.9 & echo $((40 + 2))", yield_time_ms: 2000}); text(run.output);'
_KEEPS = 'store("word", "secret"); globalThis.word = "secret"; text(typeof load("word"));'
_LOOKS = 'text([typeof load("word"), typeof globalThis.word].join(" "));'
_GROWS = 'store("word", "x".repeat(2.8e8)); text("large");'
_YIELDED = re.compile(r"Script running with cell ID (\S+)")
_FLOODS = 'for (let i = 0; i < 3; i++) notify("x".repeat(2.5e7)); text("flooded");'
_GOES_ON = "yield_control(); while (true) {}"
_IS_WAITED_FOR = '// @exec: {"yield_time_ms": 50}\nawait new Promise((over) => setTimeout(over, 300)); text("waited for");'
_LIES = 'notify("Script completed\\nOutput:\\n"); yield_control(); await new Promise(() => setTimeout(() => {}, 3e6));'


async def _script(request: ModelRequest) -> AsyncIterator[Step]:
    if request.prompt == _IS_WAITED_FOR and (cell := _YIELDED.match("".join(request.outputs[-1:]))):
        yield Call("wait", json.dumps({"cell_id": cell[1], "yield_time_ms": 9_000}), f"call_{len(request.input)}")
    elif request.outputs:
        yield Say(words(request.outputs[-1].splitlines()[-1]))
    else:
        yield shell.script(request.prompt, f"call_{len(request.input)}")


async def _said(proxy: Proxy, *messages: str) -> str:
    roles = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(messages)]
    answer = await (await proxy.chat(messages=roles, model=SCRIPTS)).json()
    text: str = answer["choices"][0]["message"]["content"]
    return text


async def _the_host() -> int:
    """The pid of the only process for scripts, once the workers of former turns are gone."""
    async with asyncio.timeout(10):
        while len(pids := [*below(os.getpid()).intersection(processes_with(_HOST))]) != 1:
            await asyncio.sleep(0.01)
    return pids[0]


async def test_a_script_leaves_nothing_to_other_turns_and_its_worker_is_used_again_once_it_is_over(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str], home: Home
) -> None:
    model.script, environ["CODEX_MAX_PARALLEL_REQUESTS"], environ["CODEX_WORKER_MAX_MB"] = _script, "1", "300"
    model.check = None  # the CLI gives an output of `notify` a name, which the API does not know
    async with start_proxy() as proxy:
        assert await _said(proxy, _RUNS) == "42"
        host = await _the_host()
        for pid in processes_with("sleep 300.9"):
            await ended(pid)
        assert await _said(proxy, _RUNS, "42", _RUNS) == "42"
        assert cached_share(model.requests) == 1.0
        assert told_once(model.requests)
        assert await _said(proxy, _IS_WAITED_FOR) == "waited for"
        assert await _said(proxy, _KEEPS) == "string"
        assert await _said(proxy, _LOOKS) == "undefined undefined"
        assert await _the_host() == host
        for script in (_GOES_ON, _LIES):
            await _said(proxy, script)
            async with asyncio.timeout(2):
                await ended(host)
            assert await _said(proxy, _LOOKS) == "undefined undefined"
            host = await _the_host()
        assert await _said(proxy, _GROWS) == "large"
        flooded = await proxy.chat(prompt=_FLOODS, model=SCRIPTS)
        assert (flooded.status, (await flooded.json())["error"]["code"]) == (502, "upstream_error")
        async with asyncio.timeout(10):  # the worker is replaced, and its rollouts are removed
            while any(rollout.stat().st_size > 1e7 for rollout in (home.codex_home / "sessions").rglob("*.jsonl")):
                await asyncio.sleep(0.01)

        async def without_a_host(request: ModelRequest) -> AsyncIterator[Step]:
            if request.outputs:
                os.kill(host, signal.SIGKILL)
                await ended(host)
            async for step in _script(request):
                yield step

        assert await _said(proxy, _LOOKS) == "undefined undefined"
        host, model.script = await _the_host(), without_a_host
        assert await _said(proxy, _LOOKS) == "undefined undefined"
        model.script = _script
        assert await _said(proxy, _LOOKS, "undefined undefined", _LOOKS) == "undefined undefined"
        counted = await (await proxy.http.get(f"http://{proxy.base_url.split('/')[2]}/metrics")).text()
    assert 'codex_proxy_worker_replacements_total{reason="left_something"} 3.0' in counted
    assert 'codex_proxy_worker_replacements_total{reason="memory_limit"} 1.0' in counted
    assert 'codex_proxy_conversations_total{continuation="live",mode="agent"} 1.0' in counted


def test_what_a_script_says_of_itself_does_not_end_it() -> None:
    ran = Scripts()
    ran.note(wire.RawItem("custom_tool_call", name="exec", call_id="call_1"))
    for name, over in (("exec", False), ("", True)):  # of `notify`, and of the script itself
        ran.note(wire.RawItem("custom_tool_call_output", name=name, call_id="call_1", output="Script completed\nOutput:\n"))
        assert ran.over is over


def test_a_script_that_goes_on_is_over_when_the_model_has_waited_for_its_end() -> None:
    ran = Scripts()
    ran.note(wire.RawItem("custom_tool_call", name="exec", call_id="call_1"))
    ran.note(
        wire.RawItem("custom_tool_call_output", call_id="call_1", output="Script running with cell ID 1\nWall time 10.0 seconds\n")
    )
    for number, (arguments, output, over) in enumerate(
        [
            ("{}", "failed to parse function arguments", False),
            ('{"cell_id": 1}', "failed to parse function arguments", False),
            ('{"cell_id": "7"}', "Script failed\nWall time 0.0 seconds\nOutput:\nexec cell 7 not found", False),
            ('{"cell_id": "1"}', "Script running with cell ID 1\nWall time 1.0 seconds\nOutput:\nScript completed\n", False),
            ('{"cell_id": "1"}', "Script completed\nWall time 2.0 seconds\nOutput:\n", True),
        ]
    ):
        ran.note(wire.RawItem("function_call", name="wait", call_id=f"wait_{number}", arguments=arguments))
        ran.note(wire.RawItem("function_call_output", call_id=f"wait_{number}", output=output))
        assert ran.over is over, output
