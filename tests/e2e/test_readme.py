"""The commands of README.md, docs/API.md and docs/DEPLOYMENT.md, run as they stand there in a fresh copy of the tree. README.ja.md
has the same ones as README.md: check-docs.

The comment before a block says how: `alone`, `client` (of the demo), `backends` (two servers), `start` (clones and installs). A
`text` block right after it is what it prints.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step
from tests.conftest import START_LIMIT, Proxy, RunningCommand
from tests.support.fresh_copy import ROOT, fresh_copy
from tests.support.machine import free_port
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
_BLOCK = re.compile(r"^<!-- tested: (\w+) -->\n```(\w+)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
_DOCUMENTS = ("README.md", "docs/API.md", "docs/DEPLOYMENT.md")
_BLOCKS: list[tuple[str, str, str, str]] = [found for name in _DOCUMENTS for found in _BLOCK.findall((ROOT / name).read_text())]
_LIMIT = 120.0  # seconds for one block; a quiet machine takes six
_INSTALL_LIMIT = 600.0


def _marked(kind: str) -> list[tuple[str, str]]:
    """Language and text of the blocks of a kind."""
    return [(language, text) for mark, language, text, _ in _BLOCKS if mark == kind]


@pytest.fixture
def copy(tmp_path: Path, environ: dict[str, str]) -> Path:
    """A fresh copy, whose code `environ` runs."""
    environ["PYTHONPATH"] = str(tmp_path)
    return fresh_copy(tmp_path)


def test_every_block_is_of_a_known_kind() -> None:
    assert {mark for mark, *_ in _BLOCKS} == {"start", "client", "alone", "backends"}


@pytest.mark.parametrize("text", [text for _, text in _marked("alone")])
async def test_commands_that_need_no_server(copy: Path, environ: dict[str, str], text: str) -> None:
    environ["PROXY_PORT"] = str(free_port())
    await _run(copy, environ | {"OPENAI_API_KEY": "sk-of-nobody"}, "sh", text)


@pytest.mark.slow
async def test_what_clients_of_the_demo_do(copy: Path, environ: dict[str, str], start_command: StartCommand) -> None:
    for name in ("CODEX_CONFIG_DIR", "CODEX_WORKDIR"):
        del environ[name]
    running = await start_command("--demo")
    environ["PROXY_PORT"] = running.address.rpartition(":")[2]
    blocks = [
        (language, text.replace("http://127.0.0.1:8000", running.address), shown)
        for mark, language, text, shown in _BLOCKS
        if mark == "client"
    ]
    outputs = await asyncio.gather(*(_run(copy, environ, language, text) for language, text, _ in blocks))
    for (_, text, shown), output in zip(blocks, outputs, strict=True):
        assert output, text
        assert '"error"' not in output, text
        assert output == (shown or output), text
    assert sum(bool(shown) for *_, shown in blocks) == 3
    assert sum("demo" in output for output in outputs) > len(outputs) / 2  # the rest asks for no turn
    assert await running.stop() == 0


@pytest.mark.parametrize("cities", [(), ("Kyoto",), ("Kyoto", "Nara")])
async def test_the_example_of_tools_answers_every_call_once(
    copy: Path, environ: dict[str, str], proxy: Proxy, model: ModelServer, cities: tuple[str, ...]
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say((f"It is: {'; '.join(request.outputs)}.",))
        else:
            for city in cities:
                yield Call("get_weather", json.dumps({"city": city}), f"call_{city}")
            if not cities:
                yield Say(("I need no tool.",))

    model.script = script
    [(language, text)] = [(language, text) for language, text in _marked("client") if "tool_call_id" in text]
    output = await _run(copy, environ, language, text.replace("http://127.0.0.1:8000", proxy.address))
    told = "; ".join(f"Sunny in {city}, 24 degrees" for city in cities)
    assert output == (f"It is: {told}.\n" if cities else "I need no tool.\n")
    called = [item["call_id"] for item in model.requests[-1].input if item.get("type") == "function_call"]
    assert called == [f"call_{city}" for city in cities]


async def test_two_backends_on_one_box(copy: Path, environ: dict[str, str], home: Home) -> None:
    [(_, text)] = _marked("backends")
    del environ["CODEX_CONFIG_DIR"]
    ports = {8001: free_port(), 8002: free_port()}
    for told, free in ports.items():
        text = text.replace(f"PROXY_PORT={told}", f"PROXY_PORT={free}")
    async with _started(copy, environ, text + "wait\n"), http_session() as http, asyncio.timeout(START_LIMIT):
        for port in ports.values():
            while await _health(http, port) != 200:
                await asyncio.sleep(0.1)
        assert {place.name for place in home.root.glob(".codex-*")} == {".codex-work", ".codex-local"}


@pytest.mark.slow
async def test_the_quick_start_takes_two_commands(tmp_path: Path) -> None:
    [(_, text)] = _marked("start")
    repository, place, empty = (tmp_path / name for name in ("repository", "place", "empty"))
    place.mkdir()
    empty.mkdir()
    fresh_copy(repository)
    (repository / ".venv").unlink()
    commit = "git init -q && git add -A && git -c user.name=a -c user.email=a@b.example commit -q -m all"
    await _run(repository, dict(os.environ), "sh", commit)
    environ = {"PATH": os.environ["PATH"], "HOME": str(empty), "PYTHON": sys.executable, "PROXY_PORT": "0", **_of_pip()}
    async with _started(place, environ, text.replace("<this repository>", str(repository))) as process:
        printed, stdout = b"", process.stdout
        assert stdout is not None
        async with asyncio.timeout(_INSTALL_LIMIT):
            while not printed.strip().startswith(b"curl "):
                printed = await stdout.readline()
                assert printed, "it ended"
            while printed.endswith(b"\\\n"):
                printed = printed[:-2] + await stdout.readline()
        curl = await asyncio.to_thread(
            subprocess.run, shlex.split(printed.decode()), capture_output=True, timeout=_LIMIT, check=True
        )
    assert b"data: [DONE]" in curl.stdout
    assert not (empty / ".codex").exists()  # the demo has a home of its own


def _of_pip() -> dict[str, str]:
    """Where pip finds packages here: in its variables, and in the user's file."""
    of_user = Path.home() / ".config" / "pip" / "pip.conf"
    found = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return {"PIP_CONFIG_FILE": str(of_user), **found} if of_user.exists() else found


async def _run(copy: Path, environ: dict[str, str], language: str, text: str) -> str:
    """Run a block to its end; what it printed. Fails with it."""
    program = [sys.executable, "-c"] if language == "python" else ["bash", "-e", "-c"]
    process = await asyncio.create_subprocess_exec(
        *program,
        text,
        cwd=copy,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(_LIMIT):
        output, problems = await process.communicate()
    assert process.returncode == 0, f"{text}\n{output.decode()}\n{problems.decode()}"
    return output.decode()


@asynccontextmanager
async def _started(place: Path, environ: dict[str, str], text: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a block that starts servers; at the end they get SIGTERM, and are gone."""
    bash = shutil.which("bash") or "bash"
    process = await asyncio.create_subprocess_exec(
        *(bash, "-e", "-c", text), cwd=place, env=environ, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        async with asyncio.timeout(START_LIMIT):
            await process.communicate()  # until nobody has its end of the pipe


async def _health(http: aiohttp.ClientSession, port: int) -> int:
    try:
        return (await http.get(f"http://127.0.0.1:{port}/health")).status
    except aiohttp.ClientConnectionError:
        return 0
