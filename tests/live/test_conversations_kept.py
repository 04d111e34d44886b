"""A conversation outlives its server, and goes on in another one: compared by what the scripted model received."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from codex_proxy.web.server import Server
from tests.conftest import Proxy, ProxyStarter
from tests.e2e.test_two_instances import StartCommand
from tests.live.test_conversations import SCRIPTS, Chat, by_the_prompt, cached_share, shown_to, told_once
from tests.support.redis_server import redis_server
from tests.support.sessions import http_session

TEXTS = ("Please run it.", "And then?", "At last?", "Really?")


@pytest.fixture
def talking(model: ModelServer) -> ModelServer:
    model.script = by_the_prompt
    return model


@pytest.fixture
def file(environ: dict[str, str], tmp_path: Path) -> Path:
    """Of the store."""
    environ["PROXY_STORE"] = f"sqlite://{tmp_path / 'store.sqlite'}"
    return tmp_path / "store.sqlite"


@pytest.mark.parametrize("mode", [SCRIPTS, f"{SCRIPTS} chat"])
async def test_a_restart_between_any_two_turns(start_proxy: ProxyStarter, talking: ModelServer, file: Path, mode: str) -> None:
    messages: list[dict[str, Any]] = []
    for text in TEXTS:
        async with start_proxy() as proxy:
            chat = Chat(proxy, mode)
            chat.messages = messages
            await chat.say(text)
    assert cached_share(talking.requests) > 0.99
    assert told_once(talking.requests)
    assert "hidden work" in str(talking.requests[-1].input)


@asynccontextmanager
async def two_instances(start_command: StartCommand, environ: dict[str, str], home: Home) -> AsyncIterator[tuple[Proxy, Proxy]]:
    """Each with a CODEX_HOME of its own, as on two machines; both hide the other's too, as there they have the same path."""
    async with redis_server() as redis, http_session() as http:
        environ["PROXY_STORE"] = redis.url
        environ["CODEX_DENY_READ"] = f"{home.root / 'one'}:{home.root / 'two'}"
        proxies = []
        for name in ("one", "two"):
            directory = home.root / name
            shutil.copytree(home.codex_home, directory)
            environ["CODEX_CONFIG_DIR"] = str(directory)
            proxies.append(Proxy(cast(Server, None), (await start_command()).address, http))
        yield proxies[0], proxies[1]


async def test_two_instances_with_one_redis_take_turns(
    start_command: StartCommand, environ: dict[str, str], talking: ModelServer, home: Home
) -> None:
    async with two_instances(start_command, environ, home) as instances:
        chats = tuple(map(Chat, instances))
        chats[1].messages = chats[0].messages
        for number, text in enumerate(TEXTS):
            await chats[number % 2].say(text)
    assert cached_share(talking.requests) > 0.99
    assert told_once(talking.requests)
    assert "hidden work" in shown_to(talking.requests[-1])


async def test_a_history_that_fits_conversations_of_two_instances_belongs_to_neither(
    start_command: StartCommand, environ: dict[str, str], talking: ModelServer, home: Home
) -> None:
    async with two_instances(start_command, environ, home) as instances:
        for proxy in instances:
            await Chat(proxy).say(TEXTS[0])
        chat = Chat(instances[0])
        chat.messages = [{"role": "user", "content": TEXTS[0]}, {"role": "assistant", "content": f"An answer to: {TEXTS[0]}"}]
        await chat.say(TEXTS[1])
    assert "hidden work" not in str(talking.requests[-1].input)


@pytest.mark.parametrize(("minutes", "store"), [("0", True), ("60", False)])
async def test_nothing_is_kept_where_nothing_is_to_be(
    start_proxy: ProxyStarter, environ: dict[str, str], talking: ModelServer, file: Path, minutes: str, store: bool
) -> None:
    environ["CODEX_CONVERSATION_MINUTES"] = minutes
    async with start_proxy() as proxy:
        chat = Chat(proxy, store=store)
        for text in TEXTS[:2]:
            await chat.say(text)
    assert not any(b"hidden work" in part.read_bytes() for part in file.parent.iterdir() if part.is_file())
    async with start_proxy() as proxy:
        chat.proxy = proxy
        await chat.say(TEXTS[2])
    assert "hidden work" not in str(talking.requests[-1].input)


async def test_a_store_that_does_not_answer_costs_a_conversation_its_past_and_no_turn(
    start_proxy: ProxyStarter, environ: dict[str, str], talking: ModelServer
) -> None:
    async with redis_server() as redis:
        environ["PROXY_STORE"] = redis.url
        async with start_proxy() as proxy:
            chat = Chat(proxy)
            await chat.say(TEXTS[0])
            redis.freeze()
            async with asyncio.timeout(4.0):
                await chat.say(TEXTS[1])
            redis.thaw()
            assert talking.requests[-1].said_by_user[0] == TEXTS[1]


async def test_a_response_that_ends_in_the_drain_is_in_its_conversation_whole(
    start_proxy: ProxyStarter, model: ModelServer, file: Path
) -> None:
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def much(_: ModelRequest) -> AsyncIterator[Step]:
        asked.set()
        await let_go.wait()
        yield Say(("x" * 4_000_000,))

    model.script = much
    async with start_proxy() as proxy:
        made = await (await proxy.http.post(f"{proxy.base_url}/conversations", json={})).json()
        body = {"input": "go", "background": True, "conversation": made["id"]}
        response = await (await proxy.http.post(f"{proxy.base_url}/responses", json=body)).json()
        await asked.wait()
        asyncio.get_running_loop().call_later(0.3, let_go.set)  # the server stops meanwhile
    async with start_proxy() as proxy:
        kept = await (await proxy.http.get(f"{proxy.base_url}/responses/{response['id']}")).json()
        assert kept["status"] == "completed"
        items = await (await proxy.http.get(f"{proxy.base_url}/conversations/{made['id']}/items")).json()
        assert [len(item["content"][0]["text"]) for item in items["data"]] == [4_000_000, 2]
