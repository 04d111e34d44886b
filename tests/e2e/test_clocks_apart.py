"""Three installed servers with one store, of different clocks, two of which sleep for 30 s: no live response is failed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from codex_proxy.lifecycle.instance import LEASE
from tests.conftest import RunningCommand
from tests.e2e.test_two_instances import post
from tests.support.machine import clock_ahead
from tests.support.redis_server import redis_server
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
_SLEEP = 2 * LEASE  # seconds
_AFTER = LEASE  # seconds that it is watched afterwards


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path / 'responses.db'}"
        return
    async with redis_server() as server:
        yield server.url


@pytest.mark.slow
async def test_nobody_fails_a_response_of_one_that_sleeps(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str], store: str, tmp_path: Path
) -> None:
    may_end = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("The first words"))
        await may_end.wait()
        yield Say(words(" and the last."))

    model.script = script
    environ["PROXY_STORE"] = store
    one = await start_command()
    others = []
    for ahead in (20, -20):
        directory = tmp_path / str(ahead)
        directory.mkdir()
        environ["PYTHONPATH"] = clock_ahead(directory, ahead)
        others.append(await start_command())
    async with http_session() as http:
        made = {(await post(http, server.address, input="go", background=True))["id"]: server for server in (one, *others)}
        await _model_is_asked(model, len(made))
        for other in others:
            other.process.send_signal(signal.SIGSTOP)
        await _reads_in_progress(http, one, made, _SLEEP)
        for other in others:
            other.process.send_signal(signal.SIGCONT)
        await asyncio.gather(*(_reads_in_progress(http, server, made, _AFTER) for server in (one, *others)))
        may_end.set()
        async with asyncio.timeout(30):
            for response_id, server in made.items():
                while (found := await _get(http, server, response_id))["status"] == "in_progress":
                    await asyncio.sleep(0.1)
                assert found["status"] == "completed"
                assert [item["content"][0]["text"] for item in found["output"]] == ["The first words", " and the last."]


async def _model_is_asked(model: ModelServer, times: int) -> None:
    async with asyncio.timeout(30):
        while model.calls < times:
            await asyncio.sleep(0.05)


async def _get(http: aiohttp.ClientSession, server: RunningCommand, response_id: str) -> dict[str, Any]:
    answer = await http.get(f"{server.address}/v1/responses/{response_id}")
    found: dict[str, Any] = await answer.json()
    assert answer.status == 200, found
    return found


async def _reads_in_progress(
    http: aiohttp.ClientSession, server: RunningCommand, made: dict[str, RunningCommand], seconds: float
) -> None:
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        for response_id in made:
            found = await _get(http, server, response_id)
            assert found["status"] in ("queued", "in_progress"), found
        await asyncio.sleep(0.5)
