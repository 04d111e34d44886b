"""No sub-agents, whose models nobody has allowed and whose tokens nobody counts, and no goals, which outlive their turn."""

import json
from collections.abc import AsyncIterator

import msgspec

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Script, Step, words
from tests.conftest import ProxyStarter

_ARGUMENTS = {"message": "CANARY", "task_name": "one", "agent_type": "default", "fork_turns": "none"}
_CALLS = (
    Call("spawn_agent", json.dumps(_ARGUMENTS), ""),
    Call("agents.spawn_agent", json.dumps(_ARGUMENTS), ""),
    Call("spawn_agent", json.dumps(_ARGUMENTS), "", "multi_agent"),
    Call("spawn_agent", json.dumps(_ARGUMENTS), "", "collaboration"),
)
_TURNS = [("gpt-5.5", call) for call in _CALLS] + [("gpt-5.6-sol", _CALLS[-1]), ("gpt-5.6-sol chat", _CALLS[-1])]


def _spawns(call: Call) -> Script:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs or request.prompt != "spawn":
            yield Say(words("done"))
        else:
            yield msgspec.structs.replace(call, call_id=f"call_{len(request.input)}")

    return script


async def test_an_agent_cannot_start_another(start_proxy: ProxyStarter, home: Home, model: ModelServer) -> None:
    """Not even with a model for which the CLI's catalogue asks for sub-agents, whatever the features are (gpt-5.6-sol)."""
    model.check = None  # a model that calls what nobody has offered is no strict one
    config = home.codex_home / "config.toml"
    config.write_text(config.read_text() + "\n[features]\nmulti_agent = true\nmulti_agent_v2 = true\ngoals = true\n")
    async with start_proxy() as proxy:
        for name, call in _TURNS:
            model.script, before = _spawns(call), len(model.requests)
            answer = await proxy.chat(prompt="spawn", model=name)
            assert answer.status == 200
            asked = model.requests[before:]
            told = json.dumps([(request.tools, request.input[:-2]) for request in asked])
            assert not [tool for tool in ("spawn_agent", "create_goal", "sub-agent") if tool in told]
            assert len(asked) == 2  # the call and its refusal, and no call of another agent
            assert {request.body["model"] for request in asked} == {name.removesuffix(" chat")}
