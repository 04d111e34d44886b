"""The composition root: routes, startup and shutdown. It shows how everything is wired together.

Queued turns are refused and running ones waited for in on_shutdown, because aiohttp waits for handlers that wait for supervisors.
`serving` has the stop as a whole.
"""

import asyncio
import functools
import logging
import re
import time
from contextlib import AsyncExitStack

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
from codex_proxy.store.base import Store
from codex_proxy.tasks import run_unless
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
from codex_proxy.web.gates import hosts, limits
from codex_proxy.web.gates.connections import new_request_id
from codex_proxy.web.metrics import METRICS, Metrics, Present
from codex_proxy.web.paths import PATHS, Paths
from codex_proxy.web.server import SERVER, Server

_log = logging.getLogger(__name__)

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
        await run_unless(server.hurried, server.supervisors.drain(settings.drain_seconds))
        await at_work.aclose()

    async def clean_up(_: web.Application) -> None:  # after the handlers have ended
        await server.backgrounds.over()
        await stack.aclose()

    app.on_startup.append(start)
    app.on_shutdown.append(app[socket_route.SOCKETS].go_away)
    app.on_shutdown.append(stop)
    app.on_cleanup.append(clean_up)


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
