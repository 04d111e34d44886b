"""The installed command as systemd runs it: what it tells, and the sockets that it is passed. No systemd is needed."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from codex_proxy.codex.command import Command
from codex_proxy.demo.home import Home
from tests.conftest import START_LIMIT, RunningCommand, children_of
from tests.support.notify_socket import NotifySocket
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
_CHAT = {"messages": [{"role": "user", "content": "hello"}]}
_CLIENTS = 4
_PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execvp(sys.argv[2], sys.argv[2:])
"""  # what systemd does between fork and exec


@pytest.fixture
async def notify(environ: dict[str, str], tmp_path: Path) -> AsyncIterator[NotifySocket]:
    """Where a command that is started with `environ` tells how it is."""
    environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
    async with NotifySocket.opened(environ["NOTIFY_SOCKET"]) as opened:
        yield opened


def _passing(descriptor: int) -> list[str]:
    """The command line of a server that is passed a descriptor of ours."""
    return [sys.executable, "-c", _PASS, str(descriptor), "codex-proxy", "serve"]


@asynccontextmanager
async def _serving(argv: list[str], environ: dict[str, str], home: Home, *descriptors: int) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*argv, env=environ, cwd=home.root, pass_fds=descriptors)
    try:
        async with asyncio.timeout(START_LIMIT):
            yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_systemd_hears_of_a_whole_life_and_children_know_nothing_of_it(
    start_command: StartCommand, environ: dict[str, str], notify: NotifySocket
) -> None:
    environ |= {"WATCHDOG_USEC": "200000", "PROXY_DRAIN_SECONDS": "7"}
    running = await start_command()
    async with asyncio.timeout(START_LIMIT):
        before = await notify.up_to("READY=1")
        assert "STATUS=no worker; turns: 0 of 2 running, 0 waiting" in before
        assert before[-1] == "READY=1"
        assert "STATUS=ready; turns: 0 of 2 running, 0 waiting" in await notify.up_to("STATUS=ready")
        assert await notify.up_to("WATCHDOG=1") == ["WATCHDOG=1"]
        children = children_of(running.process.pid)
        assert children
        for child in children:
            assert not {b"NOTIFY_SOCKET", b"WATCHDOG_USEC"} & _names(child)
        running.process.send_signal(signal.SIGHUP)
        assert (await notify.up_to("RELOADING=1"))[-1].startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert await notify.up_to("READY=1") == ["READY=1"]
        running.process.send_signal(signal.SIGTERM)
        assert (await notify.up_to("STOPPING=1"))[-1] == "STOPPING=1\nEXTEND_TIMEOUT_USEC=37000000"
        assert await running.process.wait() == 0


def _names(pid: int) -> set[bytes]:
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile
        return set()
    return {pair.partition(b"=")[0] for pair in pairs}


async def test_it_is_not_ready_while_no_worker_can_start_but_lives(
    environ: dict[str, str], home: Home, notify: NotifySocket, cli: Command
) -> None:
    broken, mended = home.root / "broken", home.root / "mended"
    script = f'#!/bin/sh\n[ "$1" = app-server ] && [ ! -e {mended} ] && exit 1\nexec {cli.path} "$@"\n'
    broken.write_text(script)
    broken.chmod(0o755)
    environ |= {"CODEX_PATH": str(broken), "WATCHDOG_USEC": "200000"}
    async with _serving(["codex-proxy", "serve"], environ, home) as process:
        told = [message for _ in range(4) for message in await notify.up_to("WATCHDOG=1")]
        assert "STATUS=no worker; turns: 0 of 2 running, 0 waiting" in told
        assert "READY=1" not in told
        mended.touch()
        await notify.up_to("READY=1")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_a_restart_behind_a_passed_socket_refuses_no_connection_and_loses_no_request(
    environ: dict[str, str], home: Home, notify: NotifySocket
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        environ["PROXY_PORT"] = "1"  # the socket wins
        descriptor = listening.fileno()
        over = asyncio.Event()
        answered = [0] * _CLIENTS

        async def ask(client: int) -> None:
            """Half of the clients keep their connection, as far as the server lets them."""
            connector = aiohttp.TCPConnector(force_close=client % 2 == 0)
            async with http_session(connector=connector, timeout=aiohttp.ClientTimeout(START_LIMIT)) as http:
                while not over.is_set():
                    answer = await http.post(f"http://127.0.0.1:{listening.getsockname()[1]}/v1/chat/completions", json=_CHAT)
                    assert answer.status == 200, await answer.text()
                    assert "Hello" in await answer.text()
                    answered[client] += 1

        async with asyncio.TaskGroup() as group:
            async with _serving(_passing(descriptor), environ, home, descriptor) as process:
                await notify.up_to("READY=1")
                clients = [group.create_task(ask(client)) for client in range(_CLIENTS)]
                while not all(answered):
                    await asyncio.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
            before = list(answered)
            async with _serving(_passing(descriptor), environ, home, descriptor) as process:
                while not all(now > then for now, then in zip(answered, before, strict=True)):
                    await asyncio.sleep(0.01)
                over.set()
                await asyncio.gather(*clients)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0


async def test_a_unix_socket_is_served_too(environ: dict[str, str], home: Home, notify: NotifySocket) -> None:
    environ["PROXY_HOST"] = "0.0.0.0"  # would be refused without a key; the socket wins
    path = str(home.root / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        async with _serving(_passing(listening.fileno()), environ, home, listening.fileno()) as process:
            await notify.up_to("READY=1")
            async with http_session(connector=aiohttp.UnixConnector(path)) as http:
                answer = await http.post("http://localhost/v1/chat/completions", json=_CHAT)
                assert answer.status == 200, await answer.text()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


def _refusal(environ: dict[str, str], home: Home, descriptor: int) -> str:
    """The last words of a server that does not start."""
    argv = _passing(descriptor)
    done = subprocess.run(argv, env=environ, cwd=home.root, pass_fds=[descriptor], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_socket_that_others_can_reach_needs_a_key_as_an_address_does(environ: dict[str, str], home: Home) -> None:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.create_server((address, 0), family=family) as listening:
            said = _refusal(environ, home, listening.fileno())
            assert f"PROXY_HOST={address} (or the socket of systemd) is reachable by others" in said
            assert "no PROXY_API_KEY" in said


def test_what_takes_no_connections_is_refused(environ: dict[str, str], home: Home) -> None:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with open(os.devnull) as file, datagrams, socket.socket() as closed:
        assert "is not a socket" in _refusal(environ, home, file.fileno())
        for one in (datagrams, closed):
            assert "does not listen for connections; use ListenStream= and Accept=no" in _refusal(environ, home, one.fileno())
