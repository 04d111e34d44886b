"""Shared fixtures: a scripted model, the real CLI that talks to it, the server over both, and the installed command.

Nothing here stands in for our own code. Every test that uses `no_leftovers` (all that start a server do) fails when a
task or a child process survives it.
"""

import asyncio
import contextlib
import io
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from codex_proxy import settings as settings_module
from codex_proxy import tasks
from codex_proxy.codex import command
from codex_proxy.codex.command import Command
from codex_proxy.demo.home import Home, prepared
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from codex_proxy.settings import Settings
from codex_proxy.web import refusals, serving
from codex_proxy.web.server import Server
from tests.support import strict_provider, used_home
from tests.support.sessions import http_session

START_LIMIT = 60.0  # seconds: the machines are noisy
TURN_LIMIT = 30.0
_JSON = {"Content-Type": "application/json"}


async def say_hello(_: ModelRequest) -> AsyncIterator[Step]:
    """The script that a test begins with; it sets `model.script` to its own."""
    yield Say(words("Hello from the scripted model."))


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """A scripted model on a loopback port; set `model.script`, read `model.requests`. It refuses what OpenAI's refuses."""
    async with ModelServer.started(say_hello) as server:
        server.check = strict_provider.problem
        yield server
        assert server.refused == []


@pytest.fixture(scope="session")
def codex_databases(cli: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the CLI has in its home after a first start."""
    place = tmp_path_factory.mktemp("databases")
    used_home.make(cli.path, place)
    return place


@pytest.fixture
def home(model: ModelServer, codex_databases: Path) -> Iterator[Home]:
    """A CODEX_HOME, in which the CLI has been started before, and a workspace whose provider is `model`."""
    with prepared(model.base_url) as prepared_home:
        used_home.furnish(prepared_home.codex_home, codex_databases)
        yield prepared_home


@pytest.fixture
def environ(home: Home) -> dict[str, str]:
    """The environment of a server on a free port; tests add to it before they use `proxy` or `start_command`."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    return {"PATH": path, "LANG": "C.UTF-8", "PROXY_PORT": "0", "RATE_LIMIT_PER_MINUTE": "0", **home.environment()}


@pytest.fixture(autouse=True)
def own_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts the refusals of each test by themselves: those of the tests before it would be a flood by now."""
    monkeypatch.setattr(refusals, "of_this_process", refusals.Refusals())


@pytest.fixture
def no_leftovers() -> Iterator[None]:
    """Fails the test when a child process of this one is still there afterwards."""
    yield
    assert children_of(os.getpid()) == [], "the test left child processes behind"


@pytest.fixture(scope="session")
def cli() -> Command:
    """The real CLI."""
    return command.find(Settings(environ=dict(os.environ)))


class Proxy:
    """A server of this process, listening on loopback."""

    def __init__(self, server: Server, address: str, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.address = address
        self.base_url = f"{address}/v1"
        self.http = http

    async def chat(self, **members: object) -> aiohttp.ClientResponse:
        """POST /v1/chat/completions; the prompt is `messages`, or `prompt` for a single user message."""
        if "prompt" in members:
            members["messages"] = [{"role": "user", "content": members.pop("prompt")}]
        body = io.BytesIO(msgspec.json.encode(members))  # aiohttp warns of a large body that is not a file
        return await self.http.post(f"{self.base_url}/chat/completions", data=body, headers=_JSON)


ProxyStarter = Callable[[], "contextlib.AbstractAsyncContextManager[Proxy]"]


@pytest.fixture
def start_proxy(environ: dict[str, str], home: Home, no_leftovers: None) -> ProxyStarter:
    """Start the server with `environ` as it is at the call; ends with no task of ours left."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Proxy]:
        settings, _ = settings_module.load(environ, home.root)
        async with serving.listening(settings, command.find(settings)) as (server, address):
            async with asyncio.timeout(START_LIMIT):
                await server.supervisors.wait_ready()
            headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
            async with http_session(headers=headers, timeout=aiohttp.ClientTimeout(TURN_LIMIT)) as http:
                yield Proxy(server, address, http)
        assert tasks.running() == []

    return start


@pytest.fixture
async def proxy(start_proxy: ProxyStarter) -> AsyncIterator[Proxy]:
    """A running server with the real CLI and the scripted model."""
    async with start_proxy() as started:
        yield started


class RunningCommand:
    """The installed command, running."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.address = address
        self.base_url = f"{address}/v1"

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and give back the exit code."""
        self.process.send_signal(number)
        async with asyncio.timeout(START_LIMIT):
            return await self.process.wait()


@pytest.fixture
async def start_command(environ: dict[str, str], home: Home) -> AsyncIterator[Callable[..., object]]:
    """Start `codex-proxy serve` with `environ` as it is at the call, and wait until it says that it is ready."""
    program = shutil.which("codex-proxy", path=environ["PATH"])
    assert program is not None, "the package is not installed: run ./scripts/test"
    async with contextlib.AsyncExitStack() as stack:

        async def start(*arguments: str) -> RunningCommand:
            process = await asyncio.create_subprocess_exec(
                program, "serve", *arguments, env=environ, cwd=home.root, stdout=asyncio.subprocess.PIPE
            )
            stack.push_async_callback(_end, process)
            assert process.stdout is not None
            async with asyncio.timeout(START_LIMIT):
                while not (found := re.search(rb"http://[\d.]+:\d+", line := await process.stdout.readline())):
                    assert line, "the command ended before it was ready"
            return RunningCommand(process, found[0].decode())

        yield start


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    await process.communicate()


def children_of(pid: int) -> list[int]:
    """The pids of the living children of a process, all generations."""
    parents: dict[int, list[int]] = {}
    for one, stat in _of_processes("stat"):
        state, parent = stat.rpartition(b")")[2].split()[:2]
        if state != b"Z":
            parents.setdefault(int(parent), []).append(one)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


async def ended(pid: int) -> None:
    """Wait until a process, of whatever parent, has ended; returns at once when there is none."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def process_with(text: str) -> int:
    """Wait until there is a process whose command line contains `text`; its pid, of several the first one's."""
    while not (pids := processes_with(text)):
        await asyncio.sleep(0.01)
    return pids[0]


def processes_with(text: str) -> list[int]:
    """The pids of all processes of this machine whose command line contains `text`."""
    sought = text.encode()
    return [pid for pid, line in _of_processes("cmdline") if sought in line.replace(b"\0", b" ")]


def _of_processes(name: str) -> Iterator[tuple[int, bytes]]:
    """A file of each process in /proc, read with as little as possible: some tests look at all of them hundreds of times."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                descriptor = os.open(f"/proc/{entry}/{name}", os.O_RDONLY)
                try:
                    yield int(entry), _all_of(descriptor)
                finally:
                    os.close(descriptor)


def _all_of(descriptor: int) -> bytes:
    read = os.read(descriptor, 65_536)
    while more := read and os.read(descriptor, 65_536):
        read += more
    return read


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On CI, which installs the programs that tests need, a test that leaves itself out for want of one has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and "is not installed" in str(report.longrepr):
        report.outcome = "failed"
    return report
