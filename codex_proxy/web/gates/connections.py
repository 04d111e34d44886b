"""Client connections: the bounds that aiohttp lacks, and answers in OpenAI's form to malformed HTTP.

A connection is working (a handler has its request) or waiting (for a request, or the rest of its head). aiohttp closes idle ones;
this module closes those whose head arrives too slowly, that do not read their answer to the end, or whose request was answered
before its body arrived. Beyond the limit, the one waiting longest is closed, so idle strangers lock nobody out. Handlers check the
key before they wait for anything, so a stranger's connection works only for a moment. Only public methods of aiohttp's
RequestHandler and Server are overridden.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import HttpVersion11, web

from codex_proxy.errors import InternalError, InvalidRequest, ProxyError, RequestTimeout, TooManyConnections
from codex_proxy.web import errors
from codex_proxy.web.gates.descriptors import file_limit
from codex_proxy.web.paths import as_meant
from codex_proxy.web.rare_log import RareLog

_log = logging.getLogger(__name__)

_MOST = 4000  # connections, and at most half of the descriptors; each takes 8 kB, an open stream 40 kB
_IDLE_TIMEOUT = 75.0  # seconds; more than the 60 of reverse proxies, which could otherwise send a request just as it closes
_LINGER = 1.0  # seconds to keep reading and discarding, so that a client that is still sending sees its answer
_RETRY_AFTER = 5.0  # seconds
_PASSED_OVER = b"HTTP/1.1 100 Continue\r\n\r\n"  # clients ignore it, however often it comes
_FIRST_PROBE, _PROBED_EVERY = 0.05, 0.5  # seconds between the writes that detect whether a client has left
_MOST_AT_ONCE, _LEAST_AT_ONCE = 16_384, 1024  # bytes to read: the 256 kB of asyncio hold 40,000 tiny frames or requests
_LONG = 0.0003  # seconds to parse what was read, while nobody else is served; 16 kB of one body take microseconds


class Bounds(msgspec.Struct, frozen=True):
    """The maximum number of connections, and the seconds that each may take to send its head or to read its answer."""

    most: int = _MOST
    head_timeout: float = 10.0
    stall_timeout: float = 30.0


USUAL = Bounds()


class Connection(web.RequestHandler):
    """A client connection."""

    def __init__(self, all_of_them: "Connections", bounds: Bounds, **options: Any) -> None:  # Any: those of RequestHandler
        super().__init__(all_of_them, **options)
        self._all = all_of_them
        self._bounds = bounds
        self._socket: asyncio.Transport | None = None  # unlike `transport`, kept until the socket is closed
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._rest_timer: asyncio.TimerHandle | None = None
        self._probe_timer: asyncio.TimerHandle | None = None
        self._request: web.BaseRequest | None = None  # the request that a handler is working on
        self._head_began = False
        self._deaf = False  # further input is discarded
        self._paused_reading = False
        self._at_once = _MOST_AT_ONCE
        self._arriving: Callable[[int], bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._socket = transport
        if not self._all.has_room():
            self._deaf = True
            transport.write(_raw(_too_many()))
            transport.close()
            return
        super().connection_made(transport)
        self._read_at_once(_MOST_AT_ONCE)
        self._all.waiting[self] = None
        self._time_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._head_timer, self._stall_timer, self._rest_timer, self._probe_timer):
            if timer is not None:
                timer.cancel()
        self._all.waiting.pop(self, None)
        self._all.number -= 1
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if data and self in self._all.waiting:
            self._head_began = True
            if self._head_timer is None:
                self._time_head()
        if self._arriving is not None and not self._arriving(len(data)):
            self._deaf = True
            return
        began = time.perf_counter()
        super().data_received(data)
        if time.perf_counter() - began > _LONG:
            self._read_at_once(max(_LEAST_AT_ONCE, self._at_once // 2))
        elif self._at_once < _MOST_AT_ONCE:
            self._read_at_once(self._at_once * 2)

    def _read_at_once(self, size: int) -> None:
        self._at_once = size
        if self._socket is not None:
            self._socket.max_size = size  # type: ignore[attr-defined]  # of asyncio's own transports, without a public setter

    def pause_reading(self) -> None:
        self._paused_reading = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume what was paused. aiohttp (3.14) also calls this for each chunk of a body, and then parses nothing at some cost."""
        if self._paused_reading:
            self._paused_reading = False
            super().resume_reading(resume_parser)

    def upgraded(self, arriving: Callable[[int], bool]) -> None:
        """Note that the connection is now a WebSocket. `arriving` gets the size of all input.

        If it returns False, further input is discarded, and it must close the connection itself.
        """
        self._arriving = arriving

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's convention: True keeps the connection
        """Find out by writing whether the client has left or only half-closed the connection, as HTTP allows.

        If the client's program has closed it, its kernel answers a write with a reset, and the next write fails. So until the
        answer begins, this writes what every client ignores. A client that closes during a stream has left.
        """
        request = self._request
        if request is not None and request.writer.output_size:
            self.close()  # after this answer
            return request.writer.length is not None
        if (coming := self._head_began or request is not None) and not self._deaf and self._socket is not None:
            self._probe()
        return coming

    def _probe(self, delay: float = _FIRST_PROBE) -> None:
        request = self._request
        if request is not None:
            if not request.content.is_eof():
                self.force_close()  # the rest of its body cannot arrive any more
                return
            if request.writer.output_size or self._socket is None:
                return
            if request.version >= HttpVersion11:  # older versions have no interim responses
                self._socket.write(_PASSED_OVER)
        elif delay > _FIRST_PROBE:
            self.force_close()  # no complete head arrived
            return
        self._probe_timer = self._later(delay, self._probe, _PROBED_EVERY)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._socket is not None:
            self._stall_timer = self._later(self._bounds.stall_timeout, self._socket.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()

    def work(self, request: web.BaseRequest) -> None:
        """Note that a handler starts working on a request."""
        self._request = request
        self._all.waiting.pop(self, None)
        self._head_began = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._rest_timer is not None:
            self._rest_timer.cancel()

    def wait(self, answer: web.StreamResponse | None, request: web.BaseRequest) -> None:
        """Note that a request has ended, with its answer if there is one. A body not read by then is discarded."""
        self._request = None
        if self._probe_timer is not None:
            self._probe_timer.cancel()
            if answer is not None:
                answer.force_close()
        if self.connected:
            self._all.waiting[self] = None
            self._time_rest()
        if answer is not None and not request.content.is_eof():
            answer.force_close()
            self._deaf = True

    def cut(self, error: ProxyError) -> None:
        """Close the connection while it waits, with an answer if a request has started to arrive."""
        if self._head_began and not self._deaf and self.transport is not None:
            self.transport.write(_raw(error))
        self._all.waiting.pop(self, None)
        self._time_rest()
        self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Build the answer to malformed HTTP, or to a bug outside every handler."""
        if status == 400:
            reason = (message or "").partition("\n")[0].rstrip(": ")[:200]
            self._all.rare_log.warning("malformed HTTP from %s: %r", request.remote, reason)
            answer = errors.response(InvalidRequest(f"The request is not valid HTTP: {reason}"))
        else:
            super().handle_error(request, status, exc, message)
            answer = errors.response(InternalError("Internal server error."))
        answer.headers["x-request-id"] = new_request_id()
        answer.force_close()
        return answer

    def _time_head(self) -> None:
        limit = self._bounds.head_timeout
        self._head_timer = self._later(
            limit, self.cut, RequestTimeout(f"The request headers did not arrive within {limit:g} seconds.")
        )

    def _time_rest(self) -> None:
        """Bound how long the rest of an answer may stay unread: a closing connection would wait forever."""
        if self._rest_timer is not None:
            self._rest_timer.cancel()
        self._rest_timer = self._later(self._bounds.stall_timeout, self._cut_off_rest)

    def _cut_off_rest(self) -> None:
        if self._socket is not None and self._socket.get_write_buffer_size():
            self._socket.abort()

    def _later(self, delay: float, callback: Callable[..., None], *arguments: Any) -> asyncio.TimerHandle:  # Any: the callback's
        return asyncio.get_running_loop().call_later(delay, callback, *arguments)


class Connections(web.Server):
    """All connections of a server made by aiohttp: creates them and bounds their number."""

    def __init__(self, made: web.Server, app: web.Application, bounds: Bounds) -> None:
        factory = as_meant(made.request_factory, app)
        super().__init__(self._serve, request_factory=factory, handler_cancellation=made.handler_cancellation)
        self._handler = made.request_handler
        self._bounds = msgspec.structs.replace(bounds, most=min(bounds.most, file_limit() // 2))
        self._full_log = RareLog(_log)
        self.rare_log = RareLog(_log)
        self.waiting: dict[Connection, None] = {}  # longest waiting first
        self.number = 0

    def __call__(self) -> web.RequestHandler:
        loop = asyncio.get_running_loop()
        times = {"keepalive_timeout": _IDLE_TIMEOUT, "lingering_time": _LINGER}
        return Connection(self, self._bounds, loop=loop, access_log=None, auto_decompress=False, **times)  # bodies.py decompresses

    def has_room(self) -> bool:
        """Count a new connection and return whether it may stay; if needed, the one waiting longest makes room."""
        self.number += 1
        if self.number <= self._bounds.most:
            return True
        self._full_log.warning("more than %d connections: closing waiting ones", self._bounds.most)
        return self.close_longest_waiting()

    def close_longest_waiting(self) -> bool:
        """Return False if none was waiting."""
        if not self.waiting:
            return False
        next(iter(self.waiting)).cut(_too_many())
        return True

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.work(request)
        answer = None
        try:
            answer = await self._handler(request)
            return answer
        finally:
            connection.wait(answer, request)


def _too_many() -> ProxyError:
    return TooManyConnections("Too many connections are open. Try again.", retry_after=_RETRY_AFTER)


def _raw(error: ProxyError) -> bytes:
    """Build a complete answer, for use without a request."""
    answer = errors.response(error)
    content = errors.body(error)
    answer.headers.update({"Content-Length": str(len(content)), "Connection": "close", "x-request-id": new_request_id()})
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{name}: {value}" for name, value in answer.headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def new_request_id() -> str:
    """Return an id for a request without a valid one of its own."""
    return f"req_{uuid.uuid4().hex}"
