"""The chat route on the real CLI with a scripted model."""

import json
from collections.abc import AsyncIterator

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words
from tests.conftest import Proxy


async def test_a_command_is_one_readable_line_of_reasoning_content(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words("It said hi."))
        else:
            yield Think(("**Looking**",))
            yield Call("exec_command", json.dumps({"cmd": "echo hi"}), "call_1")

    model.script = script
    answer = await (await proxy.chat(prompt="run it")).json()
    message = answer["choices"][0]["message"]
    assert message["content"] == "It said hi."
    assert message["reasoning_content"].splitlines() == ["**Looking**", "$ echo hi"]
