"""Two installed servers with one Redis: any instance continues any conversation. With balancers: test_reverse_proxies.py."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import RunningCommand
from tests.support.redis_server import redis_server
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]


@asynccontextmanager
async def two_instances(
    start_command: StartCommand, environ: dict[str, str]
) -> AsyncIterator[tuple[RunningCommand, RunningCommand]]:
    async with redis_server() as redis:
        environ["PROXY_STORE"] = redis.url
        yield await start_command(), await start_command()


async def post(http: aiohttp.ClientSession, address: str, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"{address}/v1/responses", json=body)
    found: dict[str, Any] = await answer.json()
    assert answer.status == 200, found
    return found


async def count(request: ModelRequest) -> AsyncIterator[Step]:
    said = [item for item in request.input if item.get("role") == "assistant"]
    yield Say(words(f"answer {len(said)} to {request.prompt}"), pace=0.01)


async def test_a_conversation_alternates_between_two_instances(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str]
) -> None:
    model.script = count
    async with two_instances(start_command, environ) as instances, http_session() as http:
        previous: dict[str, Any] = {}
        for number in range(6):
            address = instances[number % 2].address
            more = {"previous_response_id": previous["id"]} if previous else {}
            previous = await post(http, address, input=f"question {number}", **more)
            assert previous["output"][0]["content"][0]["text"] == f"answer {number} to question {number}"


async def test_a_background_response_of_one_is_streamed_and_cancelled_by_the_other(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str]
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(tuple(f"t{number} " for number in range(100)), pace=0.01)
        await asyncio.Event().wait()

    model.script = script
    async with two_instances(start_command, environ) as (one, two), http_session() as http:
        made = await post(http, one.address, input="go", background=True)
        stream = await http.get(f"{two.address}/v1/responses/{made['id']}?stream=true")
        numbers = []
        text = ""
        async for line in stream.content:
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                numbers.append(event["sequence_number"])
                text += event.get("delta", "")
                if text.endswith("t99 "):
                    break
        assert numbers == list(range(len(numbers)))
        cancelled = await http.post(f"{two.address}/v1/responses/{made['id']}/cancel")
        assert (await cancelled.json())["status"] == "cancelled"


async def test_the_rate_and_an_idempotency_key_are_shared(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str]
) -> None:
    model.script = count
    environ["RATE_LIMIT_PER_MINUTE"] = "3"
    async with two_instances(start_command, environ) as (one, two), http_session() as http:
        key = {"Idempotency-Key": "once"}
        body = {"messages": [{"role": "user", "content": "hi"}]}
        first = await http.post(f"{one.base_url}/chat/completions", json=body, headers=key)
        again = await http.post(f"{two.base_url}/chat/completions", json=body, headers=key)
        assert await first.json() == await again.json()
        assert model.calls == 1
        assert (await http.post(f"{two.base_url}/chat/completions", json=body)).status == 200
        limited = await http.post(f"{one.base_url}/chat/completions", json=body)
        assert limited.status == 429
        assert int(limited.headers["Retry-After"]) > 0
