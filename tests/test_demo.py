"""What the demo's model says: it never pretends to be a real one."""

import pytest

from codex_proxy.demo.script import script
from codex_proxy.demo.steps import Call, ModelRequest, Say

SHELL: dict[str, object] = {"type": "function", "name": "exec_command", "parameters": {}}
WEATHER: dict[str, object] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}


async def answer(prompt: str, *tools: dict[str, object], output: str | None = None) -> Say | Call:
    given = [{"role": "user", "content": [{"type": "input_text", "text": prompt}]}]
    outputs = [{"type": "function_call_output", "call_id": "c", "output": output}] if output is not None else []
    steps = [step async for step in script(ModelRequest({"input": given + outputs, "tools": list(tools)}))]
    (found,) = [step for step in steps if isinstance(step, Say | Call)]
    return found


@pytest.mark.parametrize("output", [None, "Chunk ID: 1\nOutput:\nhi"])
async def test_every_answer_says_that_it_is_a_demo(output: str | None) -> None:
    said = await answer("Hello", output=output)
    assert isinstance(said, Say)
    assert "demo" in "".join(said.pieces)
    assert len(said.pieces) > 5


async def test_it_runs_a_command_when_asked_to_and_only_where_there_is_a_shell() -> None:
    called = await answer("Please run: `uname -a`", SHELL)
    assert isinstance(called, Call)
    assert '"uname -a"' in called.arguments
    assert isinstance(await answer("Please run: `uname -a`"), Say)


async def test_it_calls_a_clients_tool_that_the_prompt_names_with_fitting_arguments() -> None:
    called = await answer("Use get_weather, please", SHELL, WEATHER)
    assert called == Call("get_weather", '{"city": "demo", "days": 1}', "call_demo_1")
    assert isinstance(await answer("Hello", SHELL, WEATHER), Say)
