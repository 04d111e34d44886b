"""Named keys on a running server: made and revoked by command, each with responses, rates, turns and models of its own."""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter, RunningCommand
from tests.support.key_file import Bearer, bearer, write_keys
from tests.support.refusals import CHAT, RESPONSES, post, refusal
from tests.support.sessions import http_session

_LIMIT = 10.0  # seconds for what takes a fraction of one


def _keys(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `codex-proxy keys …`."""
    program = shutil.which("codex-proxy", path=environ["PATH"])
    assert program is not None
    command = [program, "keys", *arguments]
    return subprocess.run(command, env=environ, cwd=environ["HOME"], capture_output=True, text=True, timeout=60, check=False)


def _added(environ: dict[str, str], *arguments: str) -> Bearer:
    done = _keys(environ, "add", *arguments)
    assert done.returncode == 0, done.stderr
    token = done.stdout.removesuffix("\n")
    assert re.fullmatch(r"cpx_[\w-]{40,}", token, re.ASCII)
    assert token not in done.stderr
    return bearer(token)


def test_a_key_is_printed_once_and_kept_as_a_digest_beside_what_the_file_had(
    environ: dict[str, str], key_file: Path, home: Home
) -> None:
    limits = ("--sandbox", "read-only", "--rate", "7", "--parallel", "1", "--model", "gpt-5.5", "--no-network")
    shown = [_added(environ, "anna", *limits, "--workspace", str(home.workdir))]
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    key_file.write_text(f"# Our keys.\n\n{key_file.read_text()}# to go\n")
    key_file.chmod(0o640)
    shown += [_added(environ, name) for name in ("b.o-b_2", "carl")]
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o640
    listed = _keys(environ, "list").stdout
    lines = listed.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "anna", "b.o-b_2", "carl"]
    assert {"read-only", "7", "1", "gpt-5.5", "no", str(home.workdir)} <= set(lines[1].split())
    assert _keys(environ, "revoke", "b.o-b_2").returncode == 0
    text = key_file.read_text()
    assert text.startswith("# Our keys.\n\n[keys.anna]\n")
    assert "# to go" in text
    assert "b.o-b_2" not in text
    for token in shown:
        assert token["Authorization"].removeprefix("Bearer ") not in text + listed
    assert [path.name for path in key_file.parent.iterdir()] == ["keys.toml"]


def test_what_cannot_be_done_to_the_keys_is_said_in_a_sentence_and_changes_nothing(environ: dict[str, str], key_file: Path) -> None:
    write_keys(key_file, {"anna": {}})
    good = key_file.read_text()
    for text, mode, arguments, said in [
        (good, 0o600, ("add", "anna"), "already"),
        (good, 0o600, ("add", 'x"]\n[keys.y'), "letters"),
        (good, 0o600, ("add", "bob", "--parallel", "0"), "parallel_turns"),
        (good, 0o600, ("revoke", "bob"), "no key 'bob'"),
        (good, 0o666, ("add", "bob"), "chmod"),
        ("[keys", 0o600, ("revoke", "anna"), "not a keys file"),
    ]:
        key_file.write_text(text)
        key_file.chmod(mode)
        before = key_file.read_bytes()
        done = _keys(environ, *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert key_file.read_bytes() == before
    del environ["PROXY_API_KEYS_FILE"]
    assert "PROXY_API_KEYS_FILE" in _keys(environ, "list").stderr


async def test_a_key_opens_a_running_server_when_it_is_made_and_no_more_when_it_is_revoked(
    start_command: Callable[[], Awaitable[RunningCommand]], environ: dict[str, str], key_file: Path
) -> None:
    anna = await asyncio.to_thread(_added, environ, "anna")
    running = await start_command()
    async with http_session() as http:
        assert await _status(http, running, bearer("")) == 401
        assert await _status(http, running, anna) == 200
        bob = await asyncio.to_thread(_added, environ, "bob")
        assert await _status(http, running, bob) == 200
        assert (await asyncio.to_thread(_keys, environ, "revoke", "anna")).returncode == 0
        assert (await _status(http, running, anna), await _status(http, running, bob)) == (401, 200)
        again = await asyncio.to_thread(_added, environ, "anna")
        assert (await _status(http, running, anna), await _status(http, running, again)) == (401, 200)
    assert await running.stop() == 0


async def test_sighup_has_the_file_read_again_though_it_looks_as_before(
    start_command: Callable[[], Awaitable[RunningCommand]], key_file: Path
) -> None:
    anna = write_keys(key_file, {"anna": {}})["anna"]
    running = await start_command()
    looks = os.stat(key_file)
    mary = write_keys(key_file, {"mary": {}})["mary"]
    os.utime(key_file, ns=(looks.st_atime_ns, looks.st_mtime_ns))
    async with http_session() as http:
        assert (await _status(http, running, anna), await _status(http, running, mary)) == (200, 401)
        running.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(_LIMIT):
            while await _status(http, running, mary) != 200:
                pass
        assert await _status(http, running, anna) == 401
    assert await running.stop() == 0


async def _status(http: aiohttp.ClientSession, running: RunningCommand, who: Bearer) -> int:
    return (await http.get(f"{running.base_url}/models", headers=who)).status


def _open_to_anybody(file: Path) -> None:
    write_keys(file, {"anna": {}})
    file.chmod(0o666)


_SPOILS: tuple[Callable[[Path], object], ...] = (
    lambda file: file.write_text("[keys.nobody]\n"),
    lambda file: write_keys(file, {"anna": {"workspaces": ["/"]}}),
    lambda file: write_keys(file, {"anna": {"workspaces": ["a\0b"]}}),
    lambda file: file.write_bytes(b"\xff\xfe"),
    _open_to_anybody,
    lambda file: file.unlink(),
)


async def test_a_bad_file_changes_nothing_and_is_told_of_once(
    start_proxy: ProxyStarter, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    keys = write_keys(key_file, {"anna": {}})

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if "keeping the previous keys" in record.getMessage()]

    async with start_proxy() as proxy:

        async def statuses() -> list[int]:
            asked = (keys["anna"], bearer("cpx_nobody"), keys["anna"])
            return [(await proxy.http.get(f"{proxy.base_url}/models", headers=who)).status for who in asked]

        for number, spoil in enumerate(_SPOILS, 1):
            spoil(key_file)
            assert await statuses() == [200, 401, 200]
            assert len(told()) == number
        assert all(str(key_file) in said for said in told())
        keys = {"anna": write_keys(key_file, {"mary": {}})["mary"]}
        assert await statuses() == [200, 401, 200]
        assert len(told()) == len(_SPOILS)
    assert "cpx_" not in caplog.text


async def test_nobody_reaches_the_response_of_another_key(
    start_proxy: ProxyStarter, environ: dict[str, str], key_file: Path, model: ModelServer
) -> None:
    go_on = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.prompt == "SECRET-wait":
            await go_on.wait()
        yield Say(words(f"Answer to {request.prompt}."))

    model.script = script
    environ["PROXY_API_KEY"] = "the-servers-own"
    keys = {**write_keys(key_file, {"anna": {}, "bob": {}}), "own": bearer("the-servers-own")}
    async with start_proxy() as proxy:
        kept = {name: await _made(proxy, who, input=f"SECRET-{name}") for name, who in keys.items()}
        waiting = await _made(proxy, keys["anna"], input="SECRET-wait", background=True)
        for name, who in keys.items():
            others = [made for other, made in kept.items() if other != name] + ([] if name == "anna" else [waiting])
            for made in others:
                for method, path in [
                    ("GET", ""),
                    ("GET", "?stream=true"),
                    ("GET", "/input_items"),
                    ("POST", "/cancel"),
                    ("DELETE", ""),
                ]:
                    answer = await proxy.http.request(method, f"{proxy.base_url}/responses/{made}{path}", headers=who)
                    assert (answer.status, (await refusal(answer)).code) == (404, "response_not_found")
                answer = await post(proxy, {"input": "go on", "previous_response_id": made}, who, route=RESPONSES)
                error = await refusal(answer)
                assert (answer.status, error.code, error.param) == (404, "response_not_found", "previous_response_id")
        go_on.set()
        for name, made in [*kept.items(), ("anna", waiting)]:
            asked = {"input": "go on", "previous_response_id": made}
            async with asyncio.timeout(_LIMIT):
                while (answer := await post(proxy, asked, keys[name], route=RESPONSES)).status == 400:  # still in progress
                    pass
            assert answer.status == 200
            assert f"SECRET-{'wait' if made == waiting else name}" in json.dumps(model.requests[-1].input)
        _rename(key_file, "anna", "hers")
        _rename(key_file, "bob", "anna")
        for who, status in ((keys["bob"], 404), (keys["anna"], 200)):  # a response is of the key that made it, and not of a name
            answer = await proxy.http.get(f"{proxy.base_url}/responses/{kept['anna']}", headers=who)
            assert answer.status == status


def _rename(file: Path, name: str, new: str) -> None:
    file.write_text(file.read_text().replace(f"[keys.{name}]", f"[keys.{new}]"))


async def _made(proxy: Proxy, who: Bearer, **members: Any) -> str:  # Any: any JSON
    answer = await post(proxy, members, who, route=RESPONSES)
    assert answer.status == 200, await answer.text()
    return str((await answer.json())["id"])


async def test_the_idempotency_key_of_another_means_nothing(start_proxy: ProxyStarter, key_file: Path, model: ModelServer) -> None:
    keys = write_keys(key_file, {"anna": {}, "bob": {}})
    async with start_proxy() as proxy:
        for route, body in ((CHAT, _asking("hi")), (RESPONSES, {"input": "hi"})):
            same = {"Idempotency-Key": "one"}
            first, again = [await (await post(proxy, body, keys["anna"] | same, route=route)).json() for _ in range(2)]
            other = await (await post(proxy, body, keys["bob"] | same, route=route)).json()
            assert first["id"] == again["id"] != other["id"]
            changed = {CHAT: _asking("ho"), RESPONSES: {"input": "ho"}}[route]
            assert (await post(proxy, changed, keys["anna"] | same, route=route)).status == 409
    assert model.calls == 4


async def test_each_key_has_its_own_rate(start_proxy: ProxyStarter, environ: dict[str, str], key_file: Path) -> None:
    environ["RATE_LIMIT_PER_MINUTE"] = "1"
    keys = write_keys(key_file, {"two": {"rate_limit_per_minute": 2}, "any": {"rate_limit_per_minute": 0}, "usual": {}})
    async with start_proxy() as proxy:
        found = {name: [(await post(proxy, b"{}", who)).status for _ in range(3)] for name, who in keys.items()}
        assert found == {"two": [400, 400, 429], "any": [400, 400, 400], "usual": [400, 429, 429]}
        refused = await post(proxy, b"{}", keys["two"])
        assert (refused.headers["x-ratelimit-limit-requests"], (await refusal(refused)).code) == ("2", "rate_limit_exceeded")
        assert int(refused.headers["Retry-After"]) >= 1
        assert "x-ratelimit-limit-requests" not in (await post(proxy, b"{}", keys["any"])).headers


async def test_a_key_uses_the_models_that_it_may(
    start_proxy: ProxyStarter, key_file: Path, environ: dict[str, str], model: ModelServer
) -> None:
    environ["CODEX_EXTRA_MODELS"] = "small-1,small-2"
    keys = write_keys(
        key_file,
        {
            "all": {},
            "small": {"models": ["small-2", "small-1"]},
            "usual": {"models": ["small-1", "gpt-5.5"]},
            "lost": {"models": ["no-such"]},
        },
    )
    async with start_proxy() as proxy:

        async def listed(name: str) -> set[str]:
            answer = await (await proxy.http.get(f"{proxy.base_url}/models", headers=keys[name])).json()
            return {entry["x_codex"]["model"] for entry in answer["data"]}

        assert await listed("all") > {"small-1", "small-2", "gpt-5.5"}
        assert [await listed(name) for name in ("small", "usual", "lost")] == [
            {"small-1", "small-2"},
            {"small-1", "gpt-5.5"},
            set(),
        ]
        for name, asked, used in [
            *(("all", None, "gpt-5.5"), ("small", None, "small-2"), ("usual", None, "gpt-5.5"), ("small", "small-1", "small-1")),
            *(("usual", "gpt-5.5 high", "gpt-5.5"), ("small", "small-1 chat", "small-1"), ("all", "small-2", "small-2")),
        ]:
            for route, prompt in ((CHAT, _asking("hi")), (RESPONSES, {"input": "hi"})):
                answer = await post(proxy, {**prompt, **({} if asked is None else {"model": asked})}, keys[name], route=route)
                assert answer.status == 200, await answer.text()
                assert model.requests[-1].body["model"] == used
        calls = model.calls
        for name, asked in [("small", "gpt-5.5"), ("small", "gpt-5.5 high chat"), ("usual", "small-2"), ("lost", "gpt-5.5")]:
            for route, prompt in ((CHAT, _asking("hi")), (RESPONSES, {"input": "hi"})):
                answer = await post(proxy, {**prompt, "model": asked}, keys[name], route=route)
                error = await refusal(answer)
                assert (answer.status, error.code, error.param) == (403, "permission_denied", "model")
        assert (await post(proxy, _asking("hi"), keys["lost"])).status == 404
        assert model.calls == calls


def _asking(prompt: str, **members: Any) -> dict[str, Any]:  # Any: any JSON
    return {"messages": [{"role": "user", "content": prompt}], **members}
