"""The input of a response is written once, however many changes follow: a long history costs its length, no more."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from codex_proxy.store.sqlite import SqliteStore
from tests.conftest import ProxyStarter
from tests.live.test_kept_responses import ask, ended
from tests.store.contract import ROOMY, TTL, a_record, change, put, some_events
from tests.support.redis_server import redis_server

_HISTORY = 900_000  # bytes
_WORDS = 100


async def test_changes_do_not_write_the_input_again_to_the_file(tmp_path: Path) -> None:
    record = a_record(body=b"x" * 10_000)
    async with SqliteStore.opened(tmp_path / "responses.db", TTL, ROOMY) as store:
        await put(store, record, conversation=b"x" * _HISTORY)
        before = _written()
        for number in range(_WORDS):
            await store.update(change(record, some_events(number, number)))
        assert _written() - before < 4 * _HISTORY  # a transaction writes whole pages, twice: the log and the file


async def test_a_background_response_sends_its_input_to_redis_once(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(tuple(f"word{number} " for number in range(_WORDS)), pace=0.01)

    model.script = script
    async with redis_server() as redis:
        environ["PROXY_STORE"] = redis.url
        async with start_proxy() as proxy, Redis.from_url(redis.url) as client:
            history: list[dict[str, Any]] = [{"role": "user", "content": "x" * 100_000} for _ in range(_HISTORY // 100_000)]
            before = (await client.info("stats"))["total_net_input_bytes"]
            made = await ask(proxy, input=[*history, {"role": "user", "content": "go"}], background=True)
            assert (await ended(proxy, made["id"]))["status"] == "completed"
            sent = (await client.info("stats"))["total_net_input_bytes"] - before
            items = await proxy.http.get(f"{proxy.base_url}/responses/{made['id']}/input_items?limit=1")
            assert (await items.json())["data"][0]["content"][0]["text"] == "go"
            await ask(proxy, input="more", previous_response_id=made["id"])
            assert f"word{_WORDS - 1} " in str(model.requests[-1].input)
    # The items as they were asked for, and the conversation; then the words, with more about them the slower the machine is.
    assert sent < 4 * _HISTORY  # with each change it would be more than fifty times as much


def _written() -> int:
    """Bytes that this process has handed to write calls."""
    return int(next(line.split()[1] for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("wchar")))
