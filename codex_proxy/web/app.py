"""The composition root: routes, startup and shutdown. It shows how everything is wired together.

Shutdown: the server reports not ready and serves until requests stop arriving; then the listener closes, queued turns are refused,
running turns get PROXY_DRAIN_SECONDS, and the supervisors stop their workers. All this runs in on_shutdown, because aiohttp waits
for handlers that wait for supervisors. A second signal ends the waiting: running turns are told that the server is shutting down,
and the exit code is still 0, because the server stopped as asked.
"""

import asyncio
import functools
import logging
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from codex_proxy import logs
from codex_proxy.codex.command import Command
from codex_proxy.codex.home import codex_home
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.codex.quota import Quota
from codex_proxy.codex.sandbox import Proof
from codex_proxy.codex.worker import Worker
from codex_proxy.codex.worker_counts import WorkerCounts
from codex_proxy.settings import Settings
from codex_proxy.store import opening
from codex_proxy.store.base import Store
from codex_proxy.tasks import see_out, spawn
from codex_proxy.threads.upkeep import kept_up
from codex_proxy.web import (
    chat,
    compact,
    completions,
    conversations,
    errors,
    health,
    input_tokens,
    metrics,
    models,
    openapi,
    report,
    responses,
    responses_kept,
)
from codex_proxy.web import socket as socket_route
from codex_proxy.web.console import events, kept, pages, status, turns
from codex_proxy.web.console.status import BOARD, Board
from codex_proxy.web.gates import descriptors, hosts, limits
from codex_proxy.web.gates.connections import new_request_id
from codex_proxy.web.gates.runner import Runner
from codex_proxy.web.metrics import METRICS, Metrics, Present
from codex_proxy.web.paths import PATHS, Paths
from codex_proxy.web.server import NOT_LOGGED_IN, SERVER, Server

_log = logging.getLogger(__name__)

_LEAVING_TIMEOUT = 5.0  # seconds to keep serving while load balancers move away
_READING_TIMEOUT = 0.5  # seconds for requests being read when the listener closes; it takes milliseconds
_HANDLERS_TIMEOUT = 5.0  # seconds for handlers to write their last bytes once every turn has ended
_FIRST_WORKER_TIMEOUT = 20.0  # seconds that the first clients of a passed socket wait for a worker before they get a 503
STOP_LIMIT = 30.0  # seconds for a stop besides the drain: the two above, the ends of workers, the last writes
_LOGIN_LOOKED_AT = 2.0  # seconds; a supervisor checks as often
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_REQUEST_ID = web.RequestKey("request_id", str)
_BEGAN = web.RequestKey("began", float)


_KEPT = "{id:(?!compact$|input_tokens$)[^/]+}"  # not the API's other paths under responses
ROUTES = (
    ("POST", "/v1/chat/completions", chat.create),
    ("POST", "/v1/completions", completions.create),
    ("POST", "/v1/responses", responses.create),
    ("GET", "/v1/responses", socket_route.connect),
    ("POST", "/v1/responses/input_tokens", input_tokens.count),
    ("POST", "/v1/responses/compact", compact.create),
    ("GET", "/v1/responses/" + _KEPT, responses_kept.show),
    ("DELETE", "/v1/responses/" + _KEPT, responses_kept.delete),
    ("POST", "/v1/responses/" + _KEPT + "/cancel", responses_kept.cancel),
    ("GET", "/v1/responses/" + _KEPT + "/input_items", responses_kept.input_items),
    *conversations.ROUTES,
    ("GET", "/v1/models", models.list_all),
    ("GET", "/v1/models/{id:.+}", models.show),
    ("GET", "/health", health.health),
    ("GET", "/ready", health.ready),
    ("GET", "/metrics", metrics.show),
    ("GET", "/openapi.json", openapi.show),
    ("GET", "/x_codex/status", status.show),
    ("GET", "/x_codex/events", events.stream),
    ("POST", "/x_codex/turns/{id}/cancel", turns.cancel),
    ("GET", "/x_codex/responses", kept.page),
)


def create_app(settings: Settings, cli: Command, store: Store) -> web.Application:
    """Build the application; its workers start and stop with it. The store must stay open as long as it lives."""
    limit = settings.queue_timeout + settings.turn_timeout + limits.BESIDE_THE_TURN
    app = web.Application(
        middlewares=[_identify, errors.answer_errors, limits.deadline(limit, but_for=socket_route.connect), hosts.guard(settings)],
        client_max_size=settings.max_body_mb * 1024 * 1024,
    )
    proof = None if settings.sandbox == "danger-full-access" else Proof()
    loaded = OpenThreads()
    quota = Quota()
    counts = WorkerCounts(functools.partial(Worker.started, cli, settings, asyncio.Lock(), loaded, proof=proof, quota=quota))
    measured = app[METRICS] = Metrics(cli.dotted_version)
    server = app[SERVER] = Server(settings, store, counts.started, measured.count_outcome)
    app[events.FRAMES] = events.Frames()
    app[socket_route.SOCKETS] = socket_route.Sockets()
    app[BOARD] = Board(server, counts, cli.dotted_version, quota)
    measured.registry.register(Present(server, counts))
    app.on_response_prepare.extend([_sign, hosts.allow_origin, limits.show_rate, measured.count_answer])
    app[PATHS] = Paths(path for _, path, _ in ROUTES)
    for method, path, handler in (*ROUTES, *(pages.ROUTES if settings.console else ())):
        add = app.router.add_get if method == "GET" else functools.partial(app.router.add_route, method)
        add(path, handler, expect_handler=limits.not_yet)
    _start_and_stop(app, settings, loaded)
    return app


def _start_and_stop(app: web.Application, settings: Settings, loaded: OpenThreads) -> None:
    """Register what starts with the application and stops with it in reverse order."""
    server = app[SERVER]
    stack, at_work = AsyncExitStack(), AsyncExitStack()

    async def start(_: web.Application) -> None:
        stack.callback(server.decoding.close)  # last of all: the ends that are still to be written need it
        await stack.enter_async_context(server.instance.alive())
        await stack.enter_async_context(server.traces.kept())
        await stack.enter_async_context(report.reporting(server))
        await at_work.enter_async_context(server.supervisors.at_work())
        lifetime = settings.conversation_minutes * 60.0
        await at_work.enter_async_context(kept_up(server.traces.threads, loaded, codex_home(settings), lifetime))

    async def stop(_: web.Application) -> None:
        await _unless(server.hurried, server.supervisors.drain(settings.drain_seconds))
        await at_work.aclose()

    async def clean_up(_: web.Application) -> None:  # after the handlers have ended
        await server.backgrounds.over()
        await stack.aclose()

    app.on_startup.append(start)
    app.on_shutdown.append(app[socket_route.SOCKETS].go_away)
    app.on_shutdown.append(stop)
    app.on_cleanup.append(clean_up)


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
                await _unless(asked.hurried, server.quiet())
        except TimeoutError:  # requests keep arriving: those being read get their place in the queue before it closes
            await asyncio.gather(*(site.stop() for site in runner.sites))
            await _unless(asked.hurried, asyncio.sleep(_READING_TIMEOUT))
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


async def _unless(hurried: asyncio.Event, wait: Coroutine[Any, Any, None]) -> None:
    """Run `wait`, but stop waiting once there is a hurry."""
    ends = [spawn("a stop", wait), spawn("a hurry", hurried.wait())]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ends:
            await see_out(task)


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


@web.middleware
async def _identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    given = request.headers.get("x-request-id", "")
    request[_REQUEST_ID] = given if _SANE_ID.fullmatch(given) else new_request_id()
    request[_BEGAN] = time.monotonic()
    with logs.about({"request": request[_REQUEST_ID]}):
        return await handler(request)


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    """Add the request id and the processing time when a response is prepared; answers to malformed HTTP do not pass here."""
    if _REQUEST_ID not in request:
        return
    response.headers["x-request-id"] = request[_REQUEST_ID]
    response.headers["openai-processing-ms"] = str(int((time.monotonic() - request[_BEGAN]) * 1000))
    response.headers["openai-version"] = "2020-10-01"
    if request.app[SERVER].leaving:  # an idle connection is about to be closed, perhaps just as the next request arrives
        response.headers["Connection"] = "close"
        response.force_close()
