"""Warm workers, most on the real CLI: one that can serve no longer is replaced before anybody needs it."""

import asyncio
import functools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from codex_proxy import settings as settings_module
from codex_proxy.codex.command import Command
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.codex.warm import WarmWorkers
from codex_proxy.codex.worker import Worker
from codex_proxy.demo.home import Home
from codex_proxy.errors import InvalidRequest
from codex_proxy.turns import Mode


async def test_an_idle_worker_that_was_stopped_is_found_and_replaced(
    environ: dict[str, str], home: Home, cli: Command, no_leftovers: None, tmp_path: Path
) -> None:
    settings, _ = settings_module.load(environ, tmp_path)
    start = functools.partial(Worker.started, cli, settings, asyncio.Lock(), OpenThreads())
    async with WarmWorkers.opened(start) as workers:
        agent, chat = await workers.take("agent"), await workers.take("chat")
        await workers.look_after()
        assert (await workers.take("agent"), await workers.take("chat")) == (agent, chat)
        os.killpg(chat.pid, signal.SIGSTOP)
        await workers.look_after()
        assert await workers.take("agent") is agent
        assert await workers.take("chat") is not chat
        async with asyncio.timeout(10):
            await workers.stopped()
            await chat.gone.wait()


class _Refused:
    """A worker whose next thread Codex refuses, as it does when the client's tools are not to its taste."""

    mode: Mode = "agent"
    unprepared = spent = True

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def prepare(self) -> None:
        raise InvalidRequest("Codex does not accept the tools.", param="tools")


async def test_a_worker_that_cannot_start_the_next_thread_is_replaced_whatever_the_reason() -> None:
    @asynccontextmanager
    async def start(_: Mode) -> AsyncIterator[Worker]:
        yield cast(Worker, _Refused())

    async with WarmWorkers.opened(start) as workers:
        first = await workers.take("agent")
        await workers.settle()
        assert await workers.take("agent") is not first
