"""The installed command: real processes, real signals, the real CLI."""

import asyncio
import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from codex_proxy import __version__
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import START_LIMIT, RunningCommand, children_of, ended, process_with, processes_with
from tests.support.redis_server import redis_server
from tests.support.sessions import http_session
from tests.support.streams import content_of

StartCommand = Callable[..., Awaitable[RunningCommand]]
GONE_LIMIT = 3.0  # seconds after which nothing of a turn may be alive; ours takes a tenth of one


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_during_a_command_leaves_no_process_of_it(
    start_command: StartCommand, model: ModelServer, stream: bool
) -> None:
    sleep = f"sleep 300.{'1' if stream else '2'}"  # a number of its own, to find it among all processes

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.prompt == "hello":
            yield Say(words("hello"))
        else:
            yield Call("exec_command", json.dumps({"cmd": sleep, "yield_time_ms": 30_000}), "call_1")

    model.script = script
    running = await start_command()
    body = {"messages": [{"role": "user", "content": "sleep"}], "stream": stream}
    async with http_session() as http:
        request = asyncio.ensure_future(http.post(f"{running.base_url}/chat/completions", json=body))
        async with asyncio.timeout(START_LIMIT):
            pid = await process_with(sleep)
            if stream:  # the line that tells of the command has come, so the stream has begun
                (await request).close()
        request.cancel()
        async with asyncio.timeout(GONE_LIMIT):
            await ended(pid)
            for other in processes_with(sleep):  # what had it started may end a moment after it, within the same limit
                await ended(other)
        assert not processes_with(sleep)
        again = await http.post(f"{running.base_url}/chat/completions", json={"messages": [{"role": "user", "content": "hello"}]})
        assert again.status == 200
    assert await running.stop() == 0


async def test_sigterm_lets_a_running_turn_finish_and_ends_with_0_and_no_child(
    start_command: StartCommand, model: ModelServer
) -> None:
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        asked.set()
        await let_go.wait()
        yield Say(words("finished all the same"))

    model.script = script
    running = await start_command()
    children = children_of(running.process.pid)
    assert children
    async with http_session() as http:
        body = {"messages": [{"role": "user", "content": "go"}]}
        request = asyncio.ensure_future(http.post(f"{running.base_url}/chat/completions", json=body))
        await asked.wait()
        running.process.send_signal(signal.SIGTERM)
        let_go.set()
        answer = await (await request).json()
        assert answer["choices"][0]["message"]["content"] == "finished all the same"
    async with asyncio.timeout(START_LIMIT):
        assert await running.process.wait() == 0
        for child in children:
            await ended(child)


async def test_sigterm_ends_a_turn_that_outlasts_the_drain_with_a_503(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str]
) -> None:
    asked = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        asked.set()
        await asyncio.Event().wait()
        yield Say(words("never"))

    model.script = script
    environ["PROXY_DRAIN_SECONDS"] = "0.2"
    running = await start_command()
    async with http_session() as http:
        body = {"messages": [{"role": "user", "content": "go"}]}
        request = asyncio.ensure_future(http.post(f"{running.base_url}/chat/completions", json=body))
        await asked.wait()
        running.process.send_signal(signal.SIGTERM)
        answer = await request
        assert (answer.status, (await answer.json())["error"]["code"]) == (503, "shutting_down")
    async with asyncio.timeout(START_LIMIT):
        assert await running.process.wait() == 0


async def test_kill_9_of_the_server_leaves_no_cli(start_command: StartCommand) -> None:
    running = await start_command()
    children = children_of(running.process.pid)
    assert children
    running.process.kill()
    async with asyncio.timeout(GONE_LIMIT):
        for child in children:
            await ended(child)


async def test_the_demo_prints_a_curl_line_that_streams_word_by_word(start_command: StartCommand, environ: dict[str, str]) -> None:
    for name in ("CODEX_CONFIG_DIR", "CODEX_WORKDIR"):
        del environ[name]
    running = await start_command("--demo")
    assert running.process.stdout is not None
    printed = ""
    async with asyncio.timeout(START_LIMIT):
        while "curl " not in printed:
            printed = (await running.process.stdout.readline()).decode()
        while printed.endswith("\\\n"):
            printed = printed[:-2] + (await running.process.stdout.readline()).decode()
    curl = await asyncio.create_subprocess_exec(*shlex.split(printed), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output, _ = await curl.communicate()
    frames = [line[6:] for line in output.decode().splitlines() if line.startswith("data: ")]
    assert frames[-1] == "[DONE]"
    chunks = [json.loads(frame) for frame in frames[:-1]]
    assert "codex-proxy demo" in content_of(chunks)
    assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in chunks) > 10
    reasoning = "".join(chunk["choices"][0]["delta"].get("reasoning_content", "") for chunk in chunks)
    assert "$ uname -a" in reasoning
    assert await running.stop(signal.SIGINT) == 0


def _run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("codex-proxy", path=environ["PATH"])
    assert program is not None
    return subprocess.run(
        [program, *arguments], env=environ, cwd=environ["HOME"], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_bad_start_says_in_a_sentence_what_to_do_and_ends_with_2(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "redis.py").write_text("raise ImportError('not here')\n")
    bad_starts = {
        "CODEX_PATH=/nowhere/codex": {"CODEX_PATH": "/nowhere/codex"},
        "PROXY_PORT='x'": {"PROXY_PORT": "x"},
        "no PROXY_API_KEY": {"PROXY_HOST": "0.0.0.0"},
        "CODEX_WORKDIR=/proc/nowhere": {"CODEX_WORKDIR": "/proc/nowhere"},
        "pip install --upgrade openai-codex-cli-bin": {"CODEX_PATH": _old_cli(environ)},
        "pip install": {"PROXY_STORE": "redis://127.0.0.1:1", "PYTHONPATH": str(tmp_path)},
    }
    for said, changes in bad_starts.items():
        done = _run(environ | changes, "serve")
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_too_few_descriptors_end_the_start(environ: dict[str, str]) -> None:
    program = shutil.which("codex-proxy", path=environ["PATH"])
    for limit in (40, 64):
        limited = ["sh", "-c", f"ulimit -n {limit}; exec {program} serve"]
        ended = subprocess.run(limited, env=environ, capture_output=True, text=True, timeout=START_LIMIT, check=False)
        assert ended.returncode == 2
        assert f"can have {limit} files open" in ended.stderr
        assert "Traceback" not in ended.stderr


def _old_cli(environ: dict[str, str]) -> str:
    path = f"{environ['HOME']}/old-codex"
    with open(path, "w") as program:
        program.write("#!/bin/sh\necho codex-cli 0.120.0\n")
    shutil.copymode("/bin/sh", path)
    return path


async def test_an_address_in_use_is_said_and_ends_with_2(start_command: StartCommand, environ: dict[str, str]) -> None:
    running = await start_command()
    port = running.address.rpartition(":")[2]
    done = await asyncio.to_thread(_run, environ, "serve", "--port", port)
    assert done.returncode == 2
    assert re.fullmatch(rf"Port {port} is in use\. Try --port \d+\n", done.stderr)


async def test_a_replica_as_the_store_ends_the_start_with_a_sentence(environ: dict[str, str]) -> None:
    async with redis_server("--replicaof", "127.0.0.1", "1") as redis:
        done = await asyncio.to_thread(_run, environ | {"PROXY_STORE": redis.url}, "serve", "--port", "0")
    assert done.returncode == 2, done.stderr
    assert "read only replica" in done.stderr
    assert "Set PROXY_STORE." in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_and_the_models_are_listed(environ: dict[str, str]) -> None:
    assert _run(environ, "--version").stdout == f"codex-proxy {__version__}\n"
    assert "Not logged in" in _run(environ, "codex", "login", "status").stderr
    assert "Not logged in" in _run(environ, "login", "--status").stderr
    header, *rows = _run(environ, "models").stdout.splitlines()
    assert header.split()[:3] == ["MODEL", "EFFORTS", "CONTEXT"]
    assert rows[0].split()[:2] == ["gpt-5.5", "(default)"]
    assert "high" in rows[0]
    [default] = [model for model in json.loads(_run(environ, "models", "--json").stdout) if model["default"]]
    assert (default["id"], "high" in default["efforts"]) == ("gpt-5.5", True)
