"""The server's process from its first listener to its exit code: sockets, signals, the order of a stop.

A stop: the server reports not ready and serves until requests stop arriving; then the listener closes, queued turns are refused,
running turns get PROXY_DRAIN_SECONDS, and the supervisors stop their workers. The last two run in the application's on_shutdown,
because aiohttp waits for handlers that wait for supervisors. A second signal ends the waiting: running turns are told that the
server is shutting down, and the exit code is still 0, because the server stopped as asked.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from codex_proxy.codex.command import Command
from codex_proxy.settings import Settings
from codex_proxy.store import opening
from codex_proxy.tasks import run_unless, see_out, spawn
from codex_proxy.web.app import create_app
from codex_proxy.web.gates import descriptors
from codex_proxy.web.gates.runner import Runner
from codex_proxy.web.server import NOT_LOGGED_IN, SERVER, Server

_log = logging.getLogger(__name__)

_LEAVING_TIMEOUT = 5.0  # seconds to keep serving while load balancers move away
_READING_TIMEOUT = 0.5  # seconds for requests being read when the listener closes; it takes milliseconds
_HANDLERS_TIMEOUT = 5.0  # seconds for handlers to write their last bytes once every turn has ended
_FIRST_WORKER_TIMEOUT = 20.0  # seconds that the first clients of a passed socket wait for a worker before they get a 503
STOP_LIMIT = 30.0  # seconds for a stop besides the drain: the two above, the ends of workers, the last writes
_LOGIN_LOOKED_AT = 2.0  # seconds; a supervisor checks as often


@asynccontextmanager
async def listening(settings: Settings, cli: Command) -> AsyncIterator[tuple[Server, str]]:
    """Serve until the block ends; yields the server and its address, like http://127.0.0.1:8000."""
    async with _running(settings, cli) as runner:
        yield runner.app[SERVER], await _listen(runner, settings)


@asynccontextmanager
async def _running(settings: Settings, cli: Command) -> AsyncIterator[web.AppRunner]:
    async with opening.open_store(settings) as store:
        app = create_app(settings, cli, store)
        runner = Runner(app, handler_cancellation=True, shutdown_timeout=_HANDLERS_TIMEOUT)
        try:
            await runner.setup()
            yield runner
        finally:
            await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings, sockets: Sequence[socket.socket] = ()) -> str:
    """Start listening, on `sockets` if given. Returns the address; a Unix socket's as unix:path."""
    passed: list[web.BaseSite] = [web.SockSite(runner, one, backlog=socket.SOMAXCONN) for one in sockets]
    for site in passed or [web.TCPSite(runner, settings.host, settings.port)]:
        await site.start()
    for address in runner.addresses:
        if isinstance(address, tuple):
            host, port = address[:2]
            return f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return f"unix:{runner.addresses[0]}"


async def serve(
    settings: Settings, cli: Command, announce: Callable[[Server, str], None], sockets: Sequence[socket.socket] = ()
) -> int:
    """Serve until SIGTERM or SIGINT, on `sockets` if given. Calls `announce` once a worker has reported its facts.

    Returns the exit code: 0, or 1 if a supervisor broke. Raises OSError if the address is not available.
    """
    descriptors.raise_file_limit(settings.max_parallel)
    asked = _Signals()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.hear, number)
    async with _running(settings, cli) as runner:
        server: Server = runner.app[SERVER]
        server.hurried = asked.hurried
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, server)
        ends = [spawn("a signal", asked.stopping.wait()), spawn("a broken supervisor", server.supervisors.failed.wait())]
        if sockets:  # requests that arrive before a turn can run wait in the queue of the socket and get no 503
            first = spawn("the first worker", server.supervisors.wait_ready())
            await asyncio.wait([first, *ends], timeout=_FIRST_WORKER_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            await see_out(first)
        address = await _listen(runner, settings, sockets)
        _log.info("listening on %s", address, extra={"terminal": ""})
        announcing = spawn("announce", _announce(server, address, announce))
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        server.systemd.stopping(settings.drain_seconds + STOP_LIMIT)
        server.leaving = True
        _log.info(_farewell(server, asked.again))
        if sockets:  # systemd holds them open: requests that arrive now wait for the next process
            await asyncio.gather(*(site.stop() for site in runner.sites))
        try:
            async with asyncio.timeout(_LEAVING_TIMEOUT):
                await run_unless(asked.hurried, server.quiet())
        except TimeoutError:  # requests keep arriving: those being read get their place in the queue before it closes
            await asyncio.gather(*(site.stop() for site in runner.sites))
            await run_unless(asked.hurried, asyncio.sleep(_READING_TIMEOUT))
        for task in (announcing, *ends):
            await see_out(task)
    return 1 if server.supervisors.failed.is_set() else 0


class _Signals:
    """The state that SIGTERM and SIGINT set: stopping, then hurried. `again` says how to send the second signal."""

    def __init__(self) -> None:
        self.stopping, self.hurried = asyncio.Event(), asyncio.Event()
        self.again = ""

    def hear(self, number: signal.Signals) -> None:
        self.again = "press Ctrl-C again" if number == signal.SIGINT else f"send {number.name} again"
        (self.hurried if self.stopping.is_set() else self.stopping).set()


def _farewell(server: Server, again: str) -> str:
    running = server.supervisors.running
    if not running or not again:
        return "stopping"
    turns = "1 turn" if running == 1 else f"{running} turns"
    return f"stopping: waiting up to {server.settings.drain_seconds:g} s for {turns}; {again} to stop now"


async def _announce(server: Server, address: str, announce: Callable[[Server, str], None]) -> None:
    await server.supervisors.wait_ready()
    _warn_of_effort(server)
    for alias in server.facts().catalog.broken_aliases():
        _log.warning("CODEX_MODEL_ALIASES: %s refers to a model that does not exist; it is not listed", alias)
    announce(server, address)
    server.systemd.ready()
    if server.trouble() == NOT_LOGGED_IN:
        _log.warning("Codex is not logged in. Run: codex-proxy login", extra={"terminal": ""})  # on the start screen already
        while server.trouble() == NOT_LOGGED_IN:
            await server.jobs.changes.after(server.jobs.changes.number, _LOGIN_LOOKED_AT)
        if server.trouble() is None:
            _log.info("Codex is logged in: ready", extra={"terminal": "✓ Codex is logged in. Ready"})


def _reload(server: Server) -> None:
    with server.systemd.reloading():
        server.callers.keyring.reload()


def _warn_of_effort(server: Server) -> None:
    model, effort = server.facts().catalog.choose(None).model, server.settings.reasoning_effort
    if model.efforts and effort not in model.efforts:
        has = ", ".join(model.efforts)
        _log.warning("CODEX_REASONING_EFFORT=%s: %s has %s; using its default", effort, model.id, has)
