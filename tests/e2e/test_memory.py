"""A command that takes all memory, in a cgroup that has little, as a unit with MemoryMax has."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import RunningCommand, children_of, processes_with
from tests.support.machine import little_memory
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
_BOMB = "python3 -c \"kept = []\nwhile True: kept.append(b'x' * (8 << 20))\"; echo the command ended with $?"


async def test_a_memory_bomb_costs_its_command_and_nothing_else(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str]
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if "bomb" in request.prompt and not request.outputs:
            yield Call("exec_command", json.dumps({"cmd": _BOMB, "yield_time_ms": 30_000}), "call_1")
        else:
            yield Say(words(f"still here: {request.outputs[-1:]}"))

    model.script = script
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "2"
    with little_memory(600) as group:
        running = await start_command()
        for pid in (running.process.pid, *children_of(running.process.pid)):
            with contextlib.suppress(ProcessLookupError):  # a helper of a start, over by now
                (group / "cgroup.procs").write_text(str(pid))
        async with http_session() as http:

            async def ask(prompt: str) -> str:
                answer = await http.post(f"{running.base_url}/responses", json={"input": prompt})
                found = await answer.json()
                assert (answer.status, found.get("status")) == (200, "completed"), found
                return str(found["output"][-1]["content"][0]["text"])

            before = _workers_of(running)
            assert "the command ended with 137" in await ask("the bomb")
            assert await ask("and now?") == "still here: []"
            health = await http.get(f"{running.address}/ready")
            assert health.status == 200
        assert before
        assert before == _workers_of(running)  # none was lost
        await running.stop()


def _workers_of(running: RunningCommand) -> set[int]:
    """The pids of its CLI processes."""
    return set(children_of(running.process.pid)) & set(processes_with("app-server"))
