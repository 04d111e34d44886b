"""CodexProcess against children that misbehave in ways that the real CLI cannot be made to show."""

import asyncio
import os
import sys
from contextlib import AbstractAsyncContextManager

import pytest

from codex_proxy import tasks
from codex_proxy.codex.process import CodexProcess
from codex_proxy.errors import WorkerFailed
from tests.conftest import ended
from tests.support.fakes import child

STOP_LIMIT = 15.0  # seconds


def started(way: str) -> AbstractAsyncContextManager[CodexProcess]:
    return CodexProcess.started([sys.executable, child.__file__, way], {"PATH": os.environ["PATH"]}, "/")


async def test_lines_go_in_and_come_out_and_the_child_ends_with_the_block() -> None:
    async with started("echoes") as process:
        await process.write_line(b'{"a": 1}')
        assert await process.read_line() == b'{"a": 1}\n'
        assert process.memory_mb() > 0
    async with asyncio.timeout(STOP_LIMIT):
        await ended(process.pid)
    assert tasks.running() == []


@pytest.mark.parametrize("way", ["ignores_sigterm_and_eof", "stops_itself"])
async def test_a_child_that_does_not_want_to_end_is_killed_in_bounded_time(way: str) -> None:
    async with asyncio.timeout(STOP_LIMIT):
        async with started(way) as process:
            await process.read_line()
        await ended(process.pid)


async def test_a_grandchild_that_holds_the_pipes_dies_with_the_group() -> None:
    async with asyncio.timeout(STOP_LIMIT):
        async with started("leaves_a_grandchild_that_holds_stdout") as process:
            grandchild = int(await process.read_line())
            await process.gone.wait()  # told although the grandchild keeps stdout open
        await ended(grandchild)


async def test_a_child_that_has_ended_is_noticed_by_its_reader_though_a_grandchild_holds_the_pipe() -> None:
    async with started("leaves_a_grandchild_that_holds_stdout") as process:
        await process.read_line()
        async with asyncio.timeout(STOP_LIMIT):
            with pytest.raises(WorkerFailed, match="exited in the middle"):
                await process.read_line()


async def test_a_flood_on_stderr_blocks_nothing_and_its_end_is_kept() -> None:
    async with asyncio.timeout(STOP_LIMIT), started("floods_stderr") as process:
        assert await process.read_line() == b"still here\n"
    assert "complaint 19999" in process.last_words
    assert len(process.last_words) < 10_000


@pytest.mark.parametrize(
    ("way", "told"),
    [("writes_a_line_of_33_mib", "over 32 MiB"), ("ends_in_the_middle_of_a_line", "exited in the middle")],
)
async def test_a_line_that_is_none_is_a_failure_of_the_worker(way: str, told: str) -> None:
    async with asyncio.timeout(STOP_LIMIT), started(way) as process:
        with pytest.raises(WorkerFailed, match=told):
            await process.read_line()


async def test_a_child_that_has_ended_is_told_of_with_its_exit_code_and_last_words() -> None:
    async with started("ends_in_the_middle_of_a_line") as process:
        with pytest.raises(WorkerFailed) as failed:
            await process.read_line()
        await process.gone.wait()
    assert "exit 3" in process.last_words
    assert "last words" not in failed.value.message


async def test_a_program_that_is_not_there_is_a_failure_of_the_worker() -> None:
    with pytest.raises(WorkerFailed):
        async with CodexProcess.started(["/nowhere/codex"], {}, "/"):
            pass


async def test_the_stop_goes_on_when_its_caller_is_cancelled() -> None:
    pids = []
    entered = asyncio.Event()

    async def use() -> None:
        async with started("ignores_sigterm_and_eof") as process:
            await process.read_line()
            pids.append(process.pid)
            entered.set()
            await asyncio.Event().wait()

    user = tasks.spawn("user", use())
    await entered.wait()
    user.cancel()
    await asyncio.sleep(0)
    user.cancel()
    await tasks.see_out(user)
    async with asyncio.timeout(STOP_LIMIT):
        await ended(pids[0])
    assert tasks.running() == []
