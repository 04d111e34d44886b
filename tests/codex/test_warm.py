"""Warm workers on the real CLI: an idle one that no longer answers is replaced before anybody needs it."""

import asyncio
import functools
import os
import signal
from pathlib import Path

from codex_proxy import settings as settings_module
from codex_proxy.codex.command import Command
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.codex.warm import WarmWorkers
from codex_proxy.codex.worker import Worker
from codex_proxy.demo.home import Home


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
