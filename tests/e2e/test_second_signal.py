"""A second signal while the server waits for running turns: it waits no longer."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import RunningCommand, children_of, ended
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
WITHIN = 8.0  # seconds; else it drains for thirty


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_running_turns_at_once_and_leaves_no_process(
    start_command: StartCommand, model: ModelServer, second: signal.Signals
) -> None:
    asked = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("a beginning"))
        asked.set()
        await asyncio.Event().wait()

    model.script = script
    running = await start_command()
    children = children_of(running.process.pid)
    async with http_session() as http:
        body = {"messages": [{"role": "user", "content": "go"}]}
        whole = asyncio.ensure_future(http.post(f"{running.base_url}/chat/completions", json=body))
        stream = await http.post(f"{running.base_url}/chat/completions", json=body | {"stream": True})
        await asked.wait()
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while (await http.get(f"{running.address}/ready")).status == 200:
                pass
        began = time.monotonic()
        assert await running.stop(second) == 0
        assert time.monotonic() - began < WITHIN
        answer = await whole
        assert (answer.status, (await answer.json())["error"]["code"]) == (503, "shutting_down")
        assert b'"code":"shutting_down"' in await stream.read()
        for child in children:
            async with asyncio.timeout(WITHIN):
                await ended(child)
