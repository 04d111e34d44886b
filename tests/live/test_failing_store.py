"""A store that fails under the real CLI: what the client is told, what the record says later, and that no turn runs twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from codex_proxy import settings as settings_module
from codex_proxy.codex import command
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from codex_proxy.store.memory import MemoryStore
from codex_proxy.web.app import create_app
from codex_proxy.web.gates.runner import Runner
from codex_proxy.web.server import SERVER
from tests.conftest import START_LIMIT, TURN_LIMIT, Proxy
from tests.live.test_kept_responses import ask, ended, events_of, read
from tests.support.failing_store import FailingStore
from tests.support.sessions import http_session

KEY = {"Idempotency-Key": "k1"}
SOON = 10.0  # seconds; a beat of the heart is 4


class Failing(Proxy):
    """A server whose store fails as it is told to."""

    store: FailingStore

    async def post(self, **members: Any) -> aiohttp.ClientResponse:
        """With the key."""
        return await self.http.post(f"{self.base_url}/responses", json={"input": "go"} | members, headers=KEY)


@pytest.fixture
async def failing(environ: dict[str, str], home: Home, no_leftovers: None) -> AsyncIterator[Failing]:
    """With one worker."""
    async with _started(environ | {"CODEX_MAX_PARALLEL_REQUESTS": "1"}, home) as proxy:
        yield proxy


@asynccontextmanager
async def _started(environ: dict[str, str], home: Home) -> AsyncIterator[Failing]:
    settings, _ = settings_module.load(environ, home.root)
    store = FailingStore(MemoryStore(3600.0, 10_000_000))
    runner = Runner(create_app(settings, command.find(settings), store.as_store), handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with http_session(timeout=aiohttp.ClientTimeout(TURN_LIMIT)) as http:
            proxy = Failing(runner.app[SERVER], f"http://127.0.0.1:{runner.addresses[0][1]}", http)
            proxy.store = store
            async with asyncio.timeout(START_LIMIT):
                await proxy.server.supervisors.wait_ready()
            yield proxy
    finally:
        await runner.cleanup()


async def _status(failing: Failing, name: str) -> str:
    return str((await read(failing, name))["status"])


async def _until(fact: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON):
        while not await fact():
            await asyncio.sleep(0.01)


async def _steered(failing: Failing) -> list[str]:
    """Steer a response whose end is not taken, over a socket; what comes of it, in events."""
    come = []
    async with failing.http.ws_connect(f"{failing.base_url}/responses") as socket:
        await socket.send_json({"type": "response.create", "input": "go"})
        async for message in socket:
            event = message.json()
            if event["type"] == "response.created":
                name = event["response"]["id"]
                await socket.send_json({"type": "response.steer", "previous_response_id": name, "input": "more"})
            elif "steer" in event["type"] or event["type"] == "error":
                come.append(event["type"])
            if event["type"] == "error":
                break
    return come


async def test_an_end_that_the_store_does_not_take_is_not_made_again_but_kept_later(failing: Failing, model: ModelServer) -> None:
    failing.store.broken = {"update"}
    steered = asyncio.create_task(_steered(failing))  # meanwhile: this takes as long as the store is waited for
    answer = await failing.post()
    told = await answer.json()
    assert (answer.status, told["error"]["code"]) == (503, "store_unavailable")
    assert await steered == ["response.steer.accepted", "response.steer.failed", "error"]
    assert answer.headers["x-should-retry"] == "false"
    again = await failing.post()
    assert (again.status, await again.json(), again.headers["x-should-retry"]) == (503, told, "false")
    failing.store.broken = set()
    name = told["error"]["message"].rpartition(" ")[2]

    async def completed() -> bool:
        return await _status(failing, name) == "completed"

    await _until(completed)
    assert model.calls == 2  # one of each request


async def test_a_record_that_cannot_be_made_is_told_before_anything_was_done(failing: Failing, model: ModelServer) -> None:
    failing.store.broken = {"create"}
    for background in (False, True):
        refused = await failing.post(background=background, stream=True)
        assert (refused.status, refused.headers.get("x-should-retry")) == (503, None)
    assert model.calls == 0
    failing.store.broken = set()
    assert (await failing.post()).status == 200


async def test_a_record_that_was_made_though_it_was_not_told_reads_failed(failing: Failing) -> None:
    failing.store.lost, failing.store.broken = {"create"}, {"delete"}
    assert (await failing.post()).status == 503
    [record] = await failing.store.held(failing.server.instance.name)

    async def failed() -> bool:
        return await _status(failing, record.id) == "failed"

    await _until(failed)
    assert (await read(failing, record.id))["error"]["code"] == "server_error"
    failing.store.broken = set()  # or the server's stop waits for what it cannot delete


async def test_a_repetition_of_a_background_stream_that_was_cut_follows_the_same_response(
    failing: Failing, model: ModelServer
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(tuple(f"t{number} " for number in range(100)), pace=0.005)

    model.script = script
    first = await failing.post(background=True, stream=True, temperature=0.5)
    seen = await events_of(first, at_most=20)
    first.close()
    again = await failing.post(background=True, stream=True, temperature=0.5)
    everything = await events_of(again)
    assert everything[:20] == seen
    assert [event["sequence_number"] for event in everything] == list(range(len(everything)))
    assert everything[-1]["type"] == "response.completed"
    for header in ("x-codex-sandbox", "x-codex-ignored"):
        assert again.headers[header] == first.headers[header]
    assert model.calls == 1


async def test_a_response_in_the_queue_reads_queued_until_its_turn_begins(failing: Failing, model: ModelServer) -> None:
    let_go = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        await let_go.wait()
        yield Say(words("done"))

    model.script = script
    busy = await ask(failing, input="busy", background=True)
    waiting = await ask(failing, input="waiting", background=True)
    while model.calls == 0:
        await asyncio.sleep(0)
    assert (await read(failing, waiting["id"]))["status"] == "queued"

    async def begun() -> bool:
        return await _status(failing, busy["id"]) == "in_progress"

    await _until(begun)
    assert (await read(failing, waiting["id"]))["status"] == "queued"
    let_go.set()
    assert (await ended(failing, waiting["id"]))["status"] == "completed"
    url = f"{failing.base_url}/responses/{waiting['id']}?stream=true"
    kinds = [event["type"] for event in await events_of(await failing.http.get(url))]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]


async def test_a_client_that_leaves_while_its_key_is_claimed_does_not_block_it(failing: Failing, model: ModelServer) -> None:
    failing.store.slow = {"claim"}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await failing.post()
    failing.store.slow = set()
    async with asyncio.timeout(SOON):
        assert (await failing.post()).status == 200
    assert model.calls == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_repetition_has_the_headers_of_the_first_answer(failing: Failing, stream: bool) -> None:
    first, again = [await failing.post(temperature=0.5, stream=stream) for _ in range(2)]
    for header in ("x-codex-sandbox", "x-codex-ignored"):
        assert again.headers[header] == first.headers[header]


async def test_a_cancel_is_heard_after_reads_have_failed(failing: Failing, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("a beginning"))
        await asyncio.Event().wait()

    model.script = script
    made = await ask(failing, input="go", background=True)
    failing.store.broken = {"get", "changed"}
    while model.calls == 0:
        await asyncio.sleep(0)
    failing.store.broken = set()
    async with asyncio.timeout(SOON):
        answer = await failing.http.post(f"{failing.base_url}/responses/{made['id']}/cancel")
    assert (await answer.json())["status"] == "cancelled"


async def test_a_follower_of_what_is_deleted_gets_an_error_and_its_turn_is_stopped(failing: Failing, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("a beginning"))
        await asyncio.Event().wait()

    model.script = script
    stream = await failing.http.post(f"{failing.base_url}/responses", json={"input": "go", "background": True, "stream": True})
    seen = await events_of(stream, at_most=6)
    url = f"{failing.base_url}/responses/{seen[0]['response']['id']}"
    assert (await failing.http.delete(url)).status == 200
    rest = [json.loads(line[6:]) async for line in stream.content if line.startswith(b"data: ")]
    assert (rest[-1]["type"], rest[-1]["code"]) == ("error", "response_not_found")

    async def stopped() -> bool:
        return failing.server.supervisors.running == 0

    await _until(stopped)
