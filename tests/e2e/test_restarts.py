"""kill -9 of the installed server: what it has acknowledged is there after a restart, and nothing runs for ever."""

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import TURN_LIMIT, RunningCommand
from tests.support.long_run import often
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
ROUNDS = often(15, 50)


async def _post(http: aiohttp.ClientSession, running: RunningCommand, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"{running.base_url}/responses", json=body)
    found: dict[str, Any] = await answer.json()
    assert answer.status == 200, found
    return found


async def _get(http: aiohttp.ClientSession, running: RunningCommand, response_id: str) -> dict[str, Any]:
    answer = await http.get(f"{running.base_url}/responses/{response_id}")
    found: dict[str, Any] = await answer.json()
    assert answer.status == 200, found
    return found


async def _kill(running: RunningCommand) -> None:
    running.process.kill()
    await running.process.wait()


def _database_is_whole(home: Home) -> bool:
    path = Path(home.root) / ".local" / "state" / "codex-proxy" / "responses.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        (answer,) = database.execute("PRAGMA integrity_check").fetchone()
    return bool(answer == "ok")


async def test_a_stored_stream_and_a_background_turn_read_failed_after_kill_9_and_are_not_run_again(
    start_command: StartCommand, model: ModelServer, home: Home
) -> None:
    both = asyncio.Barrier(3)

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("a beginning"))
        await both.wait()
        await asyncio.Event().wait()

    model.script = script
    running = await start_command()
    async with http_session() as http:
        background = await _post(http, running, input="go", background=True)
        conversation = (await (await http.post(f"{running.base_url}/conversations", json={})).json())["id"]
        body = {"input": "go", "stream": True, "conversation": conversation}
        stream = await http.post(f"{running.base_url}/responses", json=body)
        async for line in stream.content:
            if line.startswith(b"data: "):
                streamed = json.loads(line[6:])["response"]["id"]
                break
        await both.wait()
        await _kill(running)
        running = await start_command()
        for response_id in (background["id"], streamed):
            found = await _get(http, running, response_id)
            assert (found["status"], found["error"]["code"]) == ("failed", "server_restarted")
        again = await http.get(f"{running.base_url}/responses/{background['id']}?stream=true")
        frames = [json.loads(line[6:]) async for line in again.content if line.startswith(b"data: ")]
        assert frames[-1]["type"] == "response.failed"
        assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
        assert model.calls == 2
        next_one = await _post(http, running, input="go on", background=True, conversation=conversation)  # it is not locked
        assert (await http.post(f"{running.base_url}/responses/{next_one['id']}/cancel")).status == 200
    assert _database_is_whole(home)
    assert await running.stop(signal.SIGTERM) == 0


@pytest.mark.slow
async def test_what_was_acknowledged_is_there_after_kill_9_at_random_moments(
    start_command: StartCommand, model: ModelServer, home: Home
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words(f"answer to {request.prompt}"), pace=0.005)

    model.script = script
    moments = random.Random(4)
    answered: dict[str, dict[str, Any]] = {}  # acknowledged as done
    accepted: set[str] = set()  # acknowledged as queued

    async def load(running: RunningCommand, name: str, answer: asyncio.Event) -> None:
        async with http_session() as http:
            for number in range(1000):
                with contextlib.suppress(aiohttp.ClientError):
                    if number % 2:
                        accepted.add((await _post(http, running, input=f"{name}.{number}", background=True))["id"])
                    else:
                        found = await _post(http, running, input=f"{name}.{number}")
                        answered[found["id"]] = found
                        answer.set()
                    continue
                return

    for number in range(ROUNDS):
        running = await start_command()
        answer = asyncio.Event()
        clients = [asyncio.ensure_future(load(running, f"{number}.{client}", answer)) for client in range(3)]
        if number % 3:  # else before there is any, maybe
            async with asyncio.timeout(TURN_LIMIT):
                await answer.wait()
        asyncio.get_running_loop().call_later(moments.uniform(0.0, 0.3), running.process.kill)
        await running.process.wait()
        await asyncio.gather(*clients)
    assert _database_is_whole(home)
    running = await start_command()
    async with http_session() as http:
        for response_id, expected in answered.items():
            assert await _get(http, running, response_id) == expected
        for response_id in accepted:
            found = await _get(http, running, response_id)
            assert found["status"] in ("completed", "failed")
            if found["status"] == "failed":
                assert found["error"]["code"] == "server_restarted"
    assert len(answered) > ROUNDS // 2
    assert len(accepted) > ROUNDS // 5
