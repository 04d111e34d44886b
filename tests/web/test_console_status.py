"""/x_codex/status, /x_codex/events and /x_codex/turns/{id}/cancel: what a caller sees of the server, and whom he can stop."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step
from tests.conftest import Proxy, ProxyStarter
from tests.support.key_file import Bearer, write_keys
from tests.support.sessions import http_session
from tests.web.test_openapi import answer_schema, errors_of

_LIMIT = 20.0  # seconds
_SECRET = "the-words-of-a-prompt"
_COMMAND = "sleep 30 # watched"


async def run_a_command(request: ModelRequest) -> AsyncIterator[Step]:
    if "work" in request.prompt and not request.outputs:
        yield Call("exec_command", json.dumps({"cmd": _COMMAND, "yield_time_ms": 30_000}), "call_1")
    else:
        yield Say(("done",))


class Watching:
    """A reader of /x_codex/events: `status` is what it has been told so far, put together as a page does."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.status: dict[str, Any] = {}
        self.frames: list[tuple[str, dict[str, Any]]] = []

    async def until(self, fits: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Read on until the status is as wanted."""
        async with asyncio.timeout(_LIMIT):
            while not (self.status and fits(self.status)):
                await self._read()
        return self.status

    async def end(self) -> None:
        async with asyncio.timeout(_LIMIT):
            while not self.answer.content.at_eof():
                await self.answer.content.readline()

    async def _read(self) -> None:
        event = ""
        while not (line := (await self.answer.content.readline()).decode()).startswith("data: "):
            assert line, "the stream has ended"
            event = line.removeprefix("event: ").strip() if line.startswith("event: ") else event
        told = json.loads(line.removeprefix("data: "))
        self.frames.append((event, told))
        if event == "status":
            self.status = told
        else:
            turns = {turn["id"]: turn for turn in self.status["turns"]} | {turn["id"]: turn for turn in told.get("turns", ())}
            left = [turn for turn in turns.values() if turn["id"] not in told.get("ended", ())]
            self.status = {**self.status, **told, "turns": left}


Watch = Callable[..., Awaitable[Watching]]


@pytest.fixture
async def keys(environ: dict[str, str], tmp_path: Path) -> dict[str, Bearer]:
    """Keys of a server with two workers: anna and boris are anybody, chief is an operator."""
    file = tmp_path / "keys.toml"
    found = write_keys(file, {"anna": {}, "boris": {}, "chief": {"operator": True}})
    environ |= {
        "PROXY_API_KEYS_FILE": str(file),
        "PROXY_API_KEY": "sk-main",
        "CODEX_MAX_PARALLEL_REQUESTS": "1",
        "PROXY_STORE": "memory",
    }
    return found | {"main": {"Authorization": "Bearer sk-main"}}


async def status_of(proxy: Proxy, **headers: str) -> dict[str, Any]:
    answer = await proxy.http.get(f"{proxy.address}/x_codex/status", headers=headers)
    assert answer.status == 200, await answer.text()
    told: dict[str, Any] = await answer.json()
    assert errors_of(told, answer_schema("/x_codex/status", "get")["schema"]) == []
    return told


async def watch(proxy: Proxy, **headers: str) -> Watching:
    answer = await proxy.http.get(f"{proxy.address}/x_codex/events", headers=headers)
    assert (answer.status, answer.content_type) == (200, "text/event-stream")
    return Watching(answer)


async def test_an_open_loopback_server_tells_anybody_how_it_is(proxy: Proxy) -> None:
    told = await status_of(proxy)
    assert (told["ready"], told["reason"], told["turns"]) == (True, None, [])
    assert told["login"] == {"usable": True, "account": None, "plan": None, "provider": "demo", "local": True}
    assert told["workers"]["parallel"] == 2
    assert told["queue"] == {"waiting": 0, "limit": 64}
    assert (told["you"]["operator"], told["you"]["needs_key"]) == (True, False)
    assert told["you"]["workspaces"] == [str(proxy.server.settings.workdir)]


async def test_a_turn_is_told_from_the_queue_to_its_end_and_can_be_stopped(
    one_worker: dict[str, str], start_proxy: ProxyStarter, model: ModelServer
) -> None:
    model.script = run_a_command
    async with start_proxy() as proxy:
        watching = await watch(proxy)
        await watching.until(lambda status: status["ready"])
        asking = asyncio.ensure_future(proxy.chat(prompt=f"work, {_SECRET}"))
        told = await watching.until(lambda status: [turn for turn in status["turns"] if (turn["doing"] or {}).get("text")])
        [turn] = told["turns"]
        assert (turn["state"], turn["model"], turn["mode"], turn["sandbox"]) == ("running", "gpt-5.5", "agent", "read-only")
        assert turn["doing"]["kind"] == "command"
        assert turn["doing"]["text"] == _COMMAND
        assert turn["submitted_at"] <= turn["started_at"] <= turn["doing"]["since"] <= told["now"] + 1
        waiting = asyncio.ensure_future(proxy.chat(prompt="work too"))
        told = await watching.until(lambda status: len(status["turns"]) == 2)
        assert [turn["state"] for turn in told["turns"]] == ["running", "queued"]
        assert told["queue"]["waiting"] == 1
        for turn in told["turns"]:
            answer = await proxy.http.post(f"{proxy.address}/x_codex/turns/{turn['id']}/cancel")
            assert (answer.status, await answer.json()) == (200, {"id": turn["id"], "stopping": True})
        await watching.until(lambda status: not status["turns"])
        stopped = await asking
        assert (await stopped.json())["choices"][0]["finish_reason"] == "stop"
        [choice] = (await (await waiting).json())["choices"]  # it ends as the running one: nothing to try again
        assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "")
        again = await proxy.http.post(f"{proxy.address}/x_codex/turns/{turn['id']}/cancel")
        assert (again.status, (await again.json())["error"]["code"]) == (404, "not_found")
        assert _SECRET not in json.dumps(watching.frames)
        schema = answer_schema("/x_codex/events", "get", "text/event-stream")["x-event-schema"]
        assert [problem for _, frame in watching.frames for problem in errors_of(frame, schema)] == []


async def test_a_compaction_that_is_stopped_has_no_summary(proxy: Proxy, model: ModelServer) -> None:
    async def half(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(("The user wants to delete the",))
        await asyncio.Event().wait()

    model.script = half
    watching = await watch(proxy)
    asking = asyncio.ensure_future(proxy.http.post(f"{proxy.base_url}/responses/compact", json={"input": "hi"}))
    told = await watching.until(lambda status: [turn for turn in status["turns"] if (turn["doing"] or {}).get("kind") == "writing"])
    assert (await proxy.http.post(f"{proxy.address}/x_codex/turns/{told['turns'][0]['id']}/cancel")).status == 200
    answer = await asking
    assert (answer.status, answer.headers["x-should-retry"]) == (502, "false")
    assert "stopped before the summary" in await answer.text()


async def test_a_key_sees_and_stops_its_own_turns_only_and_the_operator_everybodys(
    keys: dict[str, Bearer], start_proxy: ProxyStarter, model: ModelServer
) -> None:
    model.script = run_a_command
    async with start_proxy() as proxy:
        eyes = {name: await watch(proxy, **bearer) for name, bearer in keys.items()}
        async with http_session(headers=keys["anna"]) as anna:
            body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": f"work, {_SECRET}"}]}
            asking = asyncio.ensure_future(anna.post(f"{proxy.base_url}/chat/completions", json=body))
            for name in ("anna", "chief", "main"):
                told = await eyes[name].until(
                    lambda status: [turn for turn in status["turns"] if (turn["doing"] or {}).get("text")]
                )
                [turn] = told["turns"]
                assert (turn["key"], turn["own"], turn["doing"]["text"]) == ("anna", name == "anna", _COMMAND)
            assert (await status_of(proxy, **keys["boris"]))["turns"] == []
            assert (await status_of(proxy, **keys["boris"]))["login"]["provider"] is None
            cancel = f"{proxy.address}/x_codex/turns/{turn['id']}/cancel"
            refused = await proxy.http.post(cancel, headers=keys["boris"])
            assert (refused.status, (await refused.json())["error"]["code"]) == (404, "not_found")
            assert not asking.done()
            assert (await proxy.http.post(cancel, headers=keys["chief"])).status == 200
            assert (await asking).status == 200
        for name in ("anna", "chief", "main"):
            await eyes[name].until(lambda status: not status["turns"])
        assert turn["id"] not in json.dumps(eyes["boris"].frames)
        assert _SECRET not in json.dumps([watching.frames for watching in eyes.values()])


async def test_a_stranger_is_refused_on_every_route_of_the_console(keys: dict[str, Bearer], start_proxy: ProxyStarter) -> None:
    async with start_proxy() as proxy, http_session() as stranger:
        for method, path in [("GET", "status"), ("GET", "events"), ("POST", "turns/1/cancel"), ("GET", "responses")]:
            answer = await stranger.request(method, f"{proxy.address}/x_codex/{path}")
            assert (answer.status, (await answer.json())["error"]["code"]) == (401, "invalid_api_key")
            answer = await stranger.request(method, f"{proxy.address}/x_codex/{path}", headers={"Host": "evil.example"})
            assert answer.status == 421


async def test_one_caller_may_have_fifty_consoles_open_and_not_any_number(proxy: Proxy) -> None:
    eyes = [await watch(proxy) for _ in range(50)]
    await eyes[-1].until(lambda status: status["ready"])
    with contextlib.ExitStack() as more:
        for _ in range(14):
            more.enter_context(proxy.server.watchers.one("anybody"))
        refused = await proxy.http.get(f"{proxy.address}/x_codex/events")
        assert (refused.status, (await refused.json())["error"]["code"]) == (429, "rate_limit_exceeded")


@pytest.mark.slow
async def test_a_reader_that_takes_nothing_is_cut_and_nothing_is_kept_for_it(
    one_worker: dict[str, str], start_proxy: ProxyStarter, model: ModelServer
) -> None:
    async def busy(_: ModelRequest) -> AsyncIterator[Step]:
        await asyncio.Event().wait()
        yield Say(("never",))

    model.script = busy
    async with start_proxy() as proxy:
        jobs, watchers = proxy.server.jobs, proxy.server.watchers
        asking = asyncio.ensure_future(proxy.chat(prompt="hold the worker"))
        while not jobs.running:
            await jobs.changes.after(jobs.changes.number, _LIMIT)
        large = msgspec.structs.replace(jobs.open[0].turn, cwd="/" + "x" * 100_000)  # each is told with its directory
        with socket.socket() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # so that the kernel keeps little itself
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", int(proxy.address.rpartition(":")[2])))
            client.sendall(b"GET /x_codex/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(_LIMIT):
                while not watchers.total:
                    await asyncio.sleep(0.01)
                sent = 0
                while watchers.total:
                    waiting = [jobs.submit(msgspec.structs.replace(large, id=f"{sent}-{n}")) for n in range(4)]
                    sent += sum(len(job.turn.cwd) for job in waiting)
                    await asyncio.sleep(0.25)  # longer than changes are gathered for
                    for job in waiting:
                        jobs.abandon(job)
            taken = await asyncio.to_thread(_all_of, client)
        print(f"{sent / 1e6:.1f} MB changed, {taken / 1e6:.1f} MB were sent")
        assert 0 < taken < sent / 4
        [job] = jobs.open
        jobs.stop(job)
        await asking


def _all_of(client: socket.socket) -> int:
    """How much there is to be read up to the end of a connection, or its reset."""
    taken = 0
    with contextlib.suppress(ConnectionResetError):
        while got := client.recv(65_536):
            taken += len(got)
    return taken


async def test_a_stop_of_the_server_ends_the_streams_of_events(start_proxy: ProxyStarter) -> None:
    async with start_proxy() as proxy:
        watching = await watch(proxy)
        await watching.until(lambda status: status["ready"])
        proxy.server.leaving = True
        told = await watching.until(lambda status: not status["ready"])
        assert told["reason"] == "shutting down"
        await watching.end()
