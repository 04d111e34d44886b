"""What a log or a debugger shows of the objects that live long: their state, and nothing of a prompt."""

import re

from codex_proxy.history import Text
from codex_proxy.job import Job
from codex_proxy.turns import Turn, TurnCompleted
from tests.conftest import Proxy

_TURN = Turn("turn_1", "m", None, "agent", "read-only", False, "/", (), (Text("a secret"),))


async def test_a_job_shows_its_turn_and_its_state() -> None:
    job = Job(_TURN)
    assert repr(job) == "<Job turn_1 waiting>"
    job.course.begin()
    job.interrupt()
    assert repr(job) == "<Job turn_1 running, interrupted>"
    job.end(TurnCompleted(None, interrupted=True))
    assert repr(job) == "<Job turn_1 ended, interrupted>"


async def test_a_server_shows_its_supervisors_and_workers(proxy: Proxy) -> None:
    assert (await proxy.chat(prompt="a secret")).status == 200
    supervisor, *_ = proxy.server.supervisors._all
    assert repr(supervisor) in ("<Supervisor ready>", "<Supervisor starting>")
    async with supervisor._start("agent") as worker:
        assert repr(worker) == f"<Worker [{worker.pid}] agent, idle, 0 turns>"
        assert repr(worker._process) == f"<CodexProcess [{worker.pid}] alive>"
        assert re.fullmatch(r"<OpenThread [0-9a-f-]{36} idle, in memory>|None", repr(worker.opener._waiting))
