"""Bodies on the server: what compression may make of one, what all together may hold, and that a turn waits as bytes."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack

import aiohttp
import msgspec
import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from codex_proxy.errors import RateLimited
from codex_proxy.web.followers import Followers
from tests.conftest import Proxy, ProxyStarter
from tests.support.refusals import GOOD_BODY, Error, post, refusal

_MB = 1024 * 1024


@pytest.fixture
async def small(one_worker: dict[str, str], start_proxy: ProxyStarter) -> AsyncIterator[Proxy]:
    """A server that holds 2 MB of bodies, one of which may have 2."""
    one_worker |= {"PROXY_MAX_BODY_MB": "2", "PROXY_MAX_BODIES_MB": "2", "CODEX_DEFAULT_MODE": "chat"}
    async with start_proxy() as proxy:
        yield proxy


async def test_a_body_that_compression_has_made_small_is_not_taken_for_one(start_proxy: ProxyStarter) -> None:
    bomb = gzip.compress(b'{"messages":[' + b"{}," * (10 * _MB) + b"{}]}", 9)
    assert len(bomb) < 100_000
    async with start_proxy() as proxy:
        answer = await post(proxy, bomb, {"Content-Encoding": "gzip"})
        assert (answer.status, (await refusal(answer)).code) == (413, "request_too_large")
        assert proxy.server.bodies.held == 0


async def test_a_turn_waits_as_bytes_and_large_bodies_beside_it_are_503_while_small_ones_are_read(
    small: Proxy, model: ModelServer
) -> None:
    go_on = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        await go_on.wait()
        yield Say(words("done"))

    model.script = script
    async with asyncio.TaskGroup() as group:
        running = group.create_task(post(small, GOOD_BODY))
        await _until(lambda: small.server.jobs.running == 1 and small.server.bodies.held == 0)
        text = "x" * (3 * _MB // 2)
        items = _with_text(text, "input")
        waiting = [
            group.create_task(post(small, _with_text(text, "messages"))),
            group.create_task(post(small, items, route="responses")),
        ]
        await _until(lambda: small.server.jobs.waiting == 1)
        refused, place = await _first(waiting)
        assert refused.code == "server_overloaded"
        [job] = [job for job in small.server.jobs.open if job.packed is not None]
        assert (job.turn.history, job.turn.input) == ((), ())
        assert small.server.bodies.held >= len(text)
        waiting.append(group.create_task(post(small, GOOD_BODY)))
        await _until(lambda: small.server.jobs.waiting == 2)
        go_on.set()
    answers = [running.result(), *(task.result() for index, task in enumerate(waiting) if index != place)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert small.server.bodies.held == 0


async def test_a_kept_response_that_waited_as_bytes_has_its_whole_conversation(small: Proxy, model: ModelServer) -> None:
    text = "y" * (_MB // 2)
    first = msgspec.json.decode(await (await post(small, _with_text(text, "input"), route="responses")).read())
    items = await small.http.get(f"{small.base_url}/responses/{first['id']}/input_items")
    page = msgspec.json.decode(await items.read())
    assert [item["content"][0]["text"] for item in page["data"]] == ["go", text]
    again = await post(small, {"input": "and?", "previous_response_id": first["id"]}, route="responses")
    assert again.status == 200
    said = msgspec.json.encode(model.requests[-1].body)
    assert text.encode() in said
    assert b"Hello from the scripted model." in said


async def test_a_caller_follows_a_bounded_number_of_streams(small: Proxy) -> None:
    made = msgspec.json.decode(await (await post(small, {"input": "x", "background": True}, route="responses")).read())
    url = f"{small.base_url}/responses/{made['id']}?stream=true"

    async def stream(key: str) -> aiohttp.ClientResponse:
        body = {"input": "x", "background": True, "stream": True}
        return await small.http.post(f"{small.base_url}/responses", json=body, headers={"Idempotency-Key": key})

    assert (await stream("first")).status == 200
    with ExitStack() as others:
        for _ in range(32):
            others.enter_context(small.server.followers.one("anybody"))
        for refused in (await small.http.get(url), await stream("first"), await stream("second")):
            assert (refused.status, (await refusal(refused)).code) == (429, "rate_limit_exceeded")
    assert (await stream("second")).status == 200  # its key is free
    answer = await small.http.get(url)
    assert answer.status == 200
    assert b"response.completed" in await answer.read()
    small.server.followers.check("anybody")


def test_all_callers_together_follow_a_bounded_number_of_streams() -> None:
    followers = Followers(128, 32)
    with ExitStack() as others:
        for number in range(128):
            followers.check(f"caller {number}")
            others.enter_context(followers.one(f"caller {number}"))
        with pytest.raises(RateLimited):
            followers.check("another")
    followers.check("another")


def _with_text(text: str, member: str) -> bytes:
    return msgspec.json.encode({member: ({"role": "user", "content": text}, {"role": "user", "content": "go"})})


async def _until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not fact():
            await asyncio.sleep(0.01)


async def _first(tasks: list[asyncio.Task[aiohttp.ClientResponse]]) -> tuple[Error, int]:
    """The refusal of the only task that ends, and its place."""
    [done], _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert done.result().status == 503
    assert "Retry-After" in done.result().headers
    return await refusal(done.result()), tasks.index(done)
