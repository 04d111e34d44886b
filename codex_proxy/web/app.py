"""The composition root: routes, start, stop. Whoever wants to know what is connected to what reads this file.

Stopping: not ready any more, and serving until nobody asks; then the listener closes, queued turns are refused, running
ones get PROXY_DRAIN_SECONDS, and the supervisors stop their workers; all that in on_shutdown, because aiohttp waits for
handlers that wait for supervisors.
"""

import asyncio
import contextlib
import functools
import logging
import re
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from codex_proxy.codex.command import Command
from codex_proxy.codex.worker import Worker
from codex_proxy.settings import Settings
from codex_proxy.store import opening
from codex_proxy.tasks import see_out, spawn
from codex_proxy.web import chat, errors, health, hosts, instance, limits, models, openapi, responses, responses_kept
from codex_proxy.web.background import BACKGROUNDS, Backgrounds
from codex_proxy.web.server import SERVER, Server

_log = logging.getLogger(__name__)

_LEAVING_TIMEOUT = 5.0  # seconds that we serve on while others are told to look elsewhere
_HANDLERS_TIMEOUT = 5.0  # seconds that handlers get to write their last bytes, once every turn has ended
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_REQUEST_ID = web.RequestKey("request_id", str)
_BEGAN = web.RequestKey("began", float)


_KEPT = "{id:(?!compact$|input_tokens$)[^/]+}"  # not what the API calls beside responses, and we do not have
ROUTES = (
    ("POST", "/v1/chat/completions", chat.create),
    ("POST", "/v1/responses", responses.create),
    ("GET", "/v1/responses/" + _KEPT, responses_kept.show),
    ("DELETE", "/v1/responses/" + _KEPT, responses_kept.delete),
    ("POST", "/v1/responses/" + _KEPT + "/cancel", responses_kept.cancel),
    ("GET", "/v1/responses/" + _KEPT + "/input_items", responses_kept.input_items),
    ("GET", "/v1/models", models.list_all),
    ("GET", "/v1/models/{id:.+}", models.show),
    ("GET", "/health", health.health),
    ("GET", "/ready", health.ready),
    ("GET", "/openapi.json", openapi.show),
)


def create_app(settings: Settings, cli: Command) -> web.Application:
    """The application; its workers start with it and end with it."""
    app = web.Application(
        middlewares=[_identify, errors.answer_errors, hosts.guard(settings)],
        client_max_size=settings.max_body_mb * 1024 * 1024,
    )
    starting = asyncio.Lock()
    server = app[SERVER] = Server(settings, functools.partial(Worker.started, cli, settings, starting))
    backgrounds = app[BACKGROUNDS] = Backgrounds()
    app.on_response_prepare.extend([_sign, hosts.allow_origin, limits.show_rate])
    for method, path, handler in ROUTES:
        add = app.router.add_get if method == "GET" else functools.partial(app.router.add_route, method)
        add(path, handler, expect_handler=_go_on)
    stack = AsyncExitStack()

    at_work = AsyncExitStack()

    async def start(_: web.Application) -> None:
        server.store = await stack.enter_async_context(opening.opened(settings))
        await stack.enter_async_context(instance.alive(server))
        await at_work.enter_async_context(server.supervisors.at_work())

    async def stop(_: web.Application) -> None:
        await server.supervisors.drain(settings.drain_seconds)
        await at_work.aclose()

    async def clean_up(_: web.Application) -> None:  # when the handlers have ended too
        await backgrounds.over()
        await server.chores_done()
        await stack.aclose()

    app.on_startup.append(start)
    app.on_shutdown.append(stop)
    app.on_cleanup.append(clean_up)
    return app


@asynccontextmanager
async def listening(settings: Settings, cli: Command) -> AsyncIterator[tuple[Server, str]]:
    """Serve until the block ends; yields the server and its address, like http://127.0.0.1:8000."""
    app = create_app(settings, cli)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_HANDLERS_TIMEOUT)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        host, port = runner.addresses[0][:2]
        yield app[SERVER], f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        await runner.cleanup()


async def serve(settings: Settings, cli: Command, announce: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT. Calls `announce` with the address once a turn can run.

    Returns the exit code: 0, or 1 when a supervisor broke. Raises OSError when the address cannot be had.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with listening(settings, cli) as (server, address):
        _log.info("listening on %s", address)
        announcing = spawn("announce", _announce(server, address, announce))
        ends = [spawn("a signal", stopping.wait()), spawn("a broken supervisor", server.supervisors.failed.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        server.leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_TIMEOUT):
                await server.quiet()
        _log.info("stopping: running turns get %g s", settings.drain_seconds)
        for task in (announcing, *ends):
            await see_out(task)
    return 1 if server.supervisors.failed.is_set() else 0


async def _announce(server: Server, address: str, announce: Callable[[str], None]) -> None:
    await server.supervisors.wait_ready()
    _warn_of_effort(server)
    announce(address)


def _warn_of_effort(server: Server) -> None:
    model, effort = server.facts().catalog.choose(None).model, server.settings.reasoning_effort
    if model.efforts and effort not in model.efforts:
        has = ", ".join(model.efforts)
        _log.warning("CODEX_REASONING_EFFORT=%s: %s has %s; its own default is used", effort, model.id, has)


async def _go_on(request: web.Request) -> None:
    """Answer an Expect header. aiohttp's own refusal of an unknown one would come before every gate, in plain text."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


@web.middleware
async def _identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    given = request.headers.get("x-request-id", "")
    request[_REQUEST_ID] = given if _SANE_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
    request[_BEGAN] = time.monotonic()
    return await handler(request)


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    """On preparing a response: who it is, and how long we have worked on it; malformed HTTP gets neither."""
    if _REQUEST_ID not in request:
        return
    response.headers["x-request-id"] = request[_REQUEST_ID]
    response.headers["openai-processing-ms"] = str(int((time.monotonic() - request[_BEGAN]) * 1000))
    response.headers["openai-version"] = "2020-10-01"
