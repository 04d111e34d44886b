"""A thread is not loaded again as long as the process that had it may still delete its rollout."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from codex_proxy.codex.connection import Connection
from codex_proxy.codex.open_threads import OpenThread, OpenThreads
from codex_proxy.codex.thread import Recipe

_IN_TIME = 5.0  # seconds


class _Process:
    """A process that is asked to delete threads, and does so only if it is a quick one."""

    def __init__(self, rollout: Path, *, quick: bool) -> None:
        self._rollout = rollout
        self._quick = quick

    async def post(self, method: str, params: Any) -> None:
        assert (method, params) == ("thread/delete", {"threadId": "one"})
        if self._quick:
            self._rollout.unlink()


@pytest.mark.parametrize("quick", [True, False])
async def test_the_threads_of_a_process_that_ends_are_free_once_it_cannot_delete_them_any_more(tmp_path: Path, quick: bool) -> None:
    rollout = tmp_path / "rollout.jsonl"
    rollout.write_text("as the ending process left it")
    process, threads = cast(Connection, _Process(rollout, quick=quick)), OpenThreads()
    with threads.in_use(OpenThread("one", rollout, cast(Recipe, None), process), kept=True):
        pass

    async def load_again() -> None:
        async with threads.reserved("one") as free:
            assert free
            assert not rollout.exists()

    async with asyncio.timeout(_IN_TIME), asyncio.TaskGroup() as group:
        with ExitStack() as after:
            await threads.close_all(process, after)
            loading = group.create_task(load_again())
            for _ in range(10):
                await asyncio.sleep(0)
            assert loading.done() is quick
