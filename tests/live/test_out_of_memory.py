"""When memory runs out, a command is killed, and not the server that it was asked of."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import Proxy

_SCORE = Path("/proc/self/oom_score_adj")
_OWN = int(_SCORE.read_text())


async def test_commands_are_killed_before_the_server(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words("done"))
        else:
            yield Call("exec_command", json.dumps({"cmd": f"echo score $(cat {_SCORE})"}), "call_1")

    model.script = script
    assert (await proxy.chat(prompt="run")).status == 200
    [output] = model.requests[-1].outputs
    assert f"score {min(_OWN + 500, 1000)}" in output
