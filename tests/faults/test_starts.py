"""Faults of the CLI while it starts and while it is idle: others take its place, /ready tells of it, and nothing is left over."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from codex_proxy import settings as settings_module
from codex_proxy.codex import command
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.codex.worker import Worker
from codex_proxy.demo.home import Home
from codex_proxy.errors import WorkerFailed
from tests.conftest import children_of
from tests.faults.conftest import Faulty, FaultyStarter
from tests.support.answers import FORMS, ask

FATALS = ("exits_1", "is_killed", "closes_stdout", "sends_no_json", "leaves_a_daemon")
HARMLESS = ("answers_twice", "asks_everything")
START_STEPS = ("spawned", "initialize", "initialized", "config/read", "account/read", "model/list", "thread/start")
RECOVERY = 10.0  # seconds; the wait between starts doubles from 0.1


async def _readiness(faulty: Faulty) -> tuple[int, str]:
    answer = await faulty.proxy.http.get(f"{faulty.proxy.address}/ready")
    return answer.status, (await answer.json()).get("reason", "")


async def _ready(faulty: Faulty, wanted: bool) -> str:
    """Wait until it is, or is not; the reason that it gives."""
    async with asyncio.timeout(RECOVERY):
        while ((said := await _readiness(faulty))[0] == 200) != wanted:
            await asyncio.sleep(0.01)
    return said[1]


@pytest.mark.parametrize("step", START_STEPS)
async def test_a_worker_that_breaks_at_its_start_is_started_again(start_faulty: FaultyStarter, step: str) -> None:
    async with start_faulty() as faulty:
        for fault in (*FATALS, *HARMLESS):
            faulty.will("exits_1", "idle")
            faulty.will(fault, step)
            assert (await ask(faulty.proxy, FORMS[0])).status == 200
            async with asyncio.timeout(RECOVERY):
                while not faulty.shown:
                    await asyncio.sleep(0.01)
            await _ready(faulty, True)
            await faulty.quiesced()


async def test_a_worker_that_does_not_get_ready_in_time_is_given_up(
    start_faulty: FaultyStarter, environ: dict[str, str], home: Home
) -> None:
    settings, _ = settings_module.load(environ, home.root)
    cli = command.find(settings)
    (home.codex_home / "faults" / "x").parent.mkdir(exist_ok=True)
    for step in ("initialize", "config/read", "thread/start"):
        (home.codex_home / "faults" / step.replace("/", "-")).write_text("never_answers")
        with pytest.raises(WorkerFailed, match="in time"):
            async with asyncio.timeout(5), Worker.started(cli, settings, asyncio.Lock(), OpenThreads(), "agent", timeout=0.5):
                pass
    assert children_of(os.getpid()) == []


async def test_starts_that_keep_failing_show_in_ready_without_a_secret_and_it_recovers(start_faulty: FaultyStarter) -> None:
    async with start_faulty() as faulty:
        faulty.will("exits_1!", "initialize")
        faulty.will("exits_1", "idle")
        await ask(faulty.proxy, FORMS[0])
        assert await _ready(faulty, False) == "The Codex CLI exited in the middle of its work."
        seen = await ask(faulty.proxy, FORMS[0])
        assert (seen.status, seen.code) == (503, "not_ready")
        faulty.will_not()
        await _ready(faulty, True)
        await faulty.quiesced()


async def test_a_program_that_is_removed_or_replaced_while_it_runs(
    start_faulty: FaultyStarter, environ: dict[str, str], tmp_path: Path
) -> None:
    program, elsewhere, no_program = environ["CODEX_PATH"], tmp_path / "elsewhere", tmp_path / "no_program"
    no_program.write_text("not a program\n")
    no_program.chmod(0o755)
    async with start_faulty() as faulty:
        shutil.move(program, elsewhere)
        await faulty.works(FORMS[0])  # the warm worker lives on
        faulty.will("exits_1", "idle")
        assert (await ask(faulty.proxy, FORMS[0])).status == 200
        assert await _ready(faulty, False) == "The Codex CLI could not be started."
        shutil.copy(no_program, program)
        assert await _ready(faulty, False) != ""
        shutil.move(elsewhere, program)
        await _ready(faulty, True)
        await faulty.quiesced()
        await faulty.works(FORMS[0])
