"""What can go wrong with a conversation's thread between two turns: every answer is right all the same, and soon."""

import asyncio
import os
import shutil
import signal
import sqlite3
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from codex_proxy.codex import command
from codex_proxy.codex.command import Command
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.settings import Settings
from codex_proxy.turns import Trace
from tests.conftest import Proxy, ProxyStarter, children_of, ended
from tests.live.test_conversations import SCRIPTS, Chat, by_the_prompt, one_worker, shown_to
from tests.live.test_workers import leads_a_group
from tests.support.machine import small_disk_in

__all__ = ["one_worker"]  # a fixture

SOON = 20.0  # seconds, for a turn on a noisy machine; a hang has no end
TEXTS = ("Please run it.", "And then?", "At last?", "Really?")
Line = dict[str, Any]  # of a rollout


@pytest.fixture
def again(cli: Command) -> str:
    """What becomes of a thread that is not loaded any more: no line of 0.147.0's rollouts tells where a response ends."""
    return "resumed" if cli.version >= (0, 163, 0) else "rebuilt"


@pytest.fixture
def talking(model: ModelServer) -> ModelServer:
    model.script = by_the_prompt
    return model


async def outcomes(proxy: Proxy) -> Counter[str]:
    """How many turns there were of each outcome of their conversation."""
    text = await (await proxy.http.get(f"{proxy.address}/metrics")).text()
    [family] = [one for one in text_string_to_metric_families(text) if one.name == "codex_proxy_conversations"]
    counts = Counter[str]()
    for sample in family.samples:
        counts[sample.labels["continuation"]] += int(sample.value)
    return counts


async def kill_workers() -> None:
    workers = [pid for pid in children_of(os.getpid()) if leads_a_group(pid)]
    for pid in workers:
        os.killpg(pid, signal.SIGKILL)
    for pid in workers:
        await ended(pid)


def damage(rollout: Path) -> None:
    rollout.write_bytes(b"\0{" + rollout.read_bytes()[2:])


def cut(rollout: Path) -> None:
    os.truncate(rollout, rollout.stat().st_size // 2)


def remove(rollout: Path) -> None:
    rollout.unlink()


def spare(_: Path) -> None:
    """Nothing happens to it."""


async def say(chat: Chat, text: str) -> None:
    async with asyncio.timeout(SOON):
        await chat.say(text)


def holds_it_all(model: ModelServer, texts: tuple[str, ...] = TEXTS) -> bool:
    """Whether the model was asked with each message of the client, once and in order."""
    said = [text for text in reversed(model.requests[-1].said_by_user) if text in texts]
    answers = [item["content"][0]["text"] for item in model.requests[-1].input if item.get("role") == "assistant"]
    return said == [*texts] and answers == [f"An answer to: {text}" for text in texts[:-1]]


@pytest.mark.usefixtures("one_worker")
@pytest.mark.parametrize("fault", [spare, damage, cut, remove])
async def test_a_worker_is_killed_after_something_happened_to_the_rollout(
    proxy: Proxy, talking: ModelServer, home: Home, fault: Callable[[Path], None], again: str
) -> None:
    """What is not whole is not gone on from; what was recorded before is."""
    chat = Chat(proxy)
    await say(chat, TEXTS[0])
    [rollout] = home.codex_home.glob("sessions/**/*.jsonl")
    fault(rollout)
    await say(chat, TEXTS[1])
    await kill_workers()
    for text in TEXTS[2:]:
        await say(chat, text)
        assert holds_it_all(talking, TEXTS[: TEXTS.index(text) + 1])
    assert +(await outcomes(proxy)) == {"new": 1, "live": 2, again: 1}
    assert "hidden work" in shown_to(talking.requests[-1])


async def test_a_rollout_that_another_process_has_loaded(
    proxy: Proxy, talking: ModelServer, home: Home, environ: dict[str, str], again: str
) -> None:
    """The conversation goes on in another thread, which begins with the same items."""
    chat = Chat(proxy)
    await say(chat, TEXTS[0])
    [rollout] = home.codex_home.glob("sessions/**/*.jsonl")
    content = rollout.read_bytes()
    await kill_workers()
    async with asyncio.timeout(SOON):
        while rollout.exists():
            await asyncio.sleep(0)
    rollout.write_bytes(content)
    async with other_cli(home, environ) as ask:
        await ask("thread/resume", {"threadId": rollout.stem[-36:], "path": str(rollout), "approvalPolicy": "never"})
        await say(chat, TEXTS[1])
        assert holds_it_all(talking, TEXTS[:2])
        assert "hidden work" in shown_to(talking.requests[-1])
        before, after = ([item | {"id": ""} for item in request.input] for request in talking.requests[-2:])
        assert again == "rebuilt" or after[: len(before)] == before  # but for ids that Codex makes from the thread's
        assert +(await outcomes(proxy)) == {"new": 1, again: 1}


@asynccontextmanager
async def other_cli(
    home: Home, environ: dict[str, str]
) -> AsyncIterator[Callable[[str, dict[str, object]], Awaitable[dict[str, object]]]]:
    """A Codex CLI that is none of ours, over the same CODEX_HOME; to be asked things."""
    cli = command.find(Settings(environ=os.environ))
    process = await asyncio.create_subprocess_exec(
        *(cli.path, "app-server"),
        env=environ | {"CODEX_HOME": str(home.codex_home)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=32 * 1024 * 1024,
        start_new_session=True,  # that of npm is a script with the CLI below it
    )
    assert process.stdin is not None
    assert process.stdout is not None
    writer, reader = process.stdin, process.stdout

    async def ask(method: str, params: dict[str, object]) -> dict[str, object]:
        writer.write(msgspec.json.encode({"id": method, "method": method, "params": params}) + b"\n")
        async with asyncio.timeout(SOON):
            while (line := msgspec.json.decode(await reader.readline())).get("id") != method:
                pass
        assert "result" in line, line
        found: dict[str, object] = line["result"]
        return found

    try:
        client = {"name": "other", "title": "other", "version": "1"}
        await ask("initialize", {"clientInfo": client, "capabilities": {"experimentalApi": True}})
        yield ask
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


def of_another_version(lines: list[Line]) -> Iterator[Line]:
    """With the same form. Most versions are so."""
    for line in lines:
        if line["type"] == "session_meta":
            line["payload"]["cli_version"] = "0.1.0"
        yield line


def of_0_147(lines: list[Line]) -> Iterator[Line]:
    for line in lines:
        if line["type"] != "token_usage_record":
            line.pop("ordinal", None)
            yield line


def of_a_newer_one(lines: list[Line]) -> Iterator[Line]:
    """That has another kind of line."""
    yield from lines
    yield lines[-1] | {"ordinal": lines[-1].get("ordinal", 0) + 1, "type": "something_new", "payload": {"something": "new"}}


def of_another_form(_: list[Line]) -> Iterator[Line]:
    yield {"something": "else"}


def as_if_kept_by(change: Callable[[list[Line]], Iterator[Line]], store: Path) -> None:
    """Change the rollouts that a store has as if another CLI had written them."""
    decoder = msgspec.msgpack.Decoder(Trace)
    with closing(sqlite3.connect(store)) as db, db:
        for name, packed in db.execute("SELECT name, content FROM trace").fetchall():
            kept = decoder.decode(zlib.decompress(packed))
            lines = [msgspec.json.decode(raw) for raw in kept.content.splitlines()]
            content = b"".join(msgspec.json.encode(line) + b"\n" for line in change(lines))
            packed = zlib.compress(msgspec.msgpack.encode(msgspec.structs.replace(kept, content=content)))
            db.execute("UPDATE trace SET content = ? WHERE name = ?", (packed, name))


@pytest.mark.parametrize("form", [of_another_version, of_0_147, of_a_newer_one, of_another_form])
async def test_the_cli_is_another_version_than_before(
    start_proxy: ProxyStarter,
    environ: dict[str, str],
    talking: ModelServer,
    tmp_path: Path,
    form: Callable[[list[Line]], Iterator[Line]],
    again: str,
) -> None:
    """Between two turns, with a restart of the server: with whatever the new one cannot read, at least nothing is made up."""
    environ["PROXY_STORE"] = f"sqlite://{tmp_path / 'store.sqlite'}"
    async with start_proxy() as proxy:
        chat = Chat(proxy)
        await say(chat, TEXTS[0])
    as_if_kept_by(form, tmp_path / "store.sqlite")
    async with start_proxy() as chat.proxy:
        await say(chat, TEXTS[1])
        assert holds_it_all(talking, TEXTS[:2])
        assert ("hidden work" in shown_to(talking.requests[-1])) is (form is not of_another_form)
        expected = again if form in (of_another_version, of_a_newer_one) else "rebuilt"
        assert +(await outcomes(chat.proxy)) == {expected: 1}


async def test_a_full_disk(
    start_proxy: ProxyStarter, environ: dict[str, str], talking: ModelServer, home: Home, tmp_path: Path
) -> None:
    with small_disk_in(tmp_path, 64) as disk:
        shutil.copytree(home.codex_home, disk / "codex_home")
        environ["CODEX_CONFIG_DIR"] = str(disk / "codex_home")
        async with start_proxy() as proxy:
            chat = Chat(proxy)
            await say(chat, TEXTS[0])
            filling = await asyncio.create_subprocess_exec(
                "dd", "if=/dev/zero", f"of={disk / 'ballast'}", "bs=4k", stderr=asyncio.subprocess.DEVNULL
            )
            await filling.wait()
            await say(chat, TEXTS[1])
            await kill_workers()
            for text in TEXTS[2:]:
                await say(chat, text)
                assert holds_it_all(talking, TEXTS[: TEXTS.index(text) + 1])
            assert (await outcomes(proxy)).total() == 4


async def test_an_answer_that_comes_back_with_one_character_changed(proxy: Proxy, talking: ModelServer) -> None:
    chat = Chat(proxy)
    await say(chat, TEXTS[0])
    chat.messages[-1]["content"] += "!"
    await say(chat, TEXTS[1])
    assert "hidden work" not in str(talking.requests[-1].input)
    assert f"An answer to: {TEXTS[0]}!" in str(talking.requests[-1].input)
    assert +(await outcomes(proxy)) == {"new": 2}


async def test_two_requests_that_continue_one_response_at_the_same_moment(proxy: Proxy, talking: ModelServer) -> None:
    async def respond(text: str, previous: str | None = None) -> str:
        body = {"model": SCRIPTS, "input": text, "previous_response_id": previous}
        async with asyncio.timeout(SOON):
            answer = await (await proxy.http.post(f"{proxy.base_url}/responses", json=body)).json()
        assert answer["output"][-1]["content"][0]["text"] == f"An answer to: {text}", answer
        return str(answer["id"])

    first = await respond(TEXTS[0])
    pairs = [("Left.", "Right."), ("More left.", "More right.")]
    ends = [first, first]
    for pair in pairs:
        ends = list(await asyncio.gather(*map(respond, pair, ends)))
    for request in talking.requests[-2:]:
        side = "Left." if "left" in request.prompt else "Right."
        assert [text for text in request.said_by_user if text in ("Left.", "Right.")] == [side]
        assert "hidden work" in shown_to(request)
    assert (await outcomes(proxy)).total() == 5
