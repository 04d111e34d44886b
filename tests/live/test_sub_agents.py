"""No sub-agents, whose models nobody has allowed and whose tokens nobody counts, and no goals, which outlive their turn."""

import json
from collections.abc import AsyncIterator

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter

_ARGUMENTS = {"message": "CANARY", "task_name": "one", "agent_type": "default", "fork_turns": "none"}
_NAMES = ("spawn_agent", "agents.spawn_agent", "multi_agent.spawn_agent", "collaboration.spawn_agent")


async def test_an_agent_cannot_start_another(start_proxy: ProxyStarter, home: Home, model: ModelServer) -> None:
    model.check = None  # a model that calls what nobody has offered is no strict one
    config = home.codex_home / "config.toml"
    config.write_text(config.read_text() + "\n[features]\nmulti_agent = true\nmulti_agent_v2 = true\ngoals = true\n")
    async with start_proxy() as proxy:
        for name in _NAMES:
            await _spawned(proxy, model, name)


async def _spawned(proxy: Proxy, model: ModelServer, name: str) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs or request.prompt != "spawn":
            yield Say(words("done"))
        else:
            yield Call(name, json.dumps(_ARGUMENTS), f"call_{len(request.input)}")

    model.script = script
    before = len(model.requests)
    answer = await proxy.chat(prompt="spawn")
    assert answer.status == 200
    asked = model.requests[before:]
    offered = json.dumps([request.body.get("tools") for request in asked])
    assert not [tool for tool in ("spawn_agent", "create_goal") if tool in offered]
    assert len(asked) == 2  # the call and its refusal, and no call of another agent
    assert {request.body["model"] for request in asked} == {"gpt-5.5"}
