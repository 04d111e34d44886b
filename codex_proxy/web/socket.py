"""GET /v1/responses with Upgrade: the Responses API over a WebSocket, as spoken by OpenAI's SDK (`responses.connect`).

Each `response.create` passes the gates that a POST does, and is made by the same run; its events are told in its lane. Lanes
go on side by side, in each one after the other. A message counts among the bodies from its first byte on. Who leaves stops
all that is being made for him. An error is told, and the socket lives on; when we close it, we say why by code and reason.
"""

import asyncio
import contextlib
import functools
import logging
import uuid

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from codex_proxy.dialects.responses import socket_messages, stored
from codex_proxy.dialects.responses.socket_messages import Create, ErrorEvent, ServerEvent, Steer
from codex_proxy.errors import InvalidApiKey, InvalidRequest, ProxyError, RateLimited, ResponseNotFound, ShuttingDown
from codex_proxy.lifecycle.recent import Made
from codex_proxy.lifecycle.run import Run
from codex_proxy.tasks import see_out, spawn
from codex_proxy.web import errors, refusals, responses
from codex_proxy.web.gates.bodies import Arriving, Body
from codex_proxy.web.gates.connections import Connection
from codex_proxy.web.lanes import Lane, Request
from codex_proxy.web.server import SERVER, Server
from codex_proxy.web.socket_life import SocketLife
from codex_proxy.web.steering import Steered, Steering

_log = logging.getLogger(__name__)

_PER_RESPONSE = 4  # sockets that a caller may open for each response that its rate allows
_CLOSE_TIMEOUT = 2.0  # seconds for the client to answer a close
_UNDER_WAY = 16  # running or waiting responses of one socket
_RETRY_AFTER = 5.0  # seconds


class Sockets:
    """The open sockets."""

    def __init__(self) -> None:
        self.open: set[Socket] = set()

    async def go_away(self, _: web.Application) -> None:
        """On shutdown, close each socket as soon as it has no responses in progress."""
        await asyncio.gather(*(socket.go_away() for socket in self.open))


SOCKETS = web.AppKey("sockets", Sockets)


async def connect(request: web.Request) -> web.StreamResponse:
    """Take over the connection until either side closes it."""
    server = request.app[SERVER]
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise web.HTTPMethodNotAllowed("GET", ["POST"])
    who = server.identify(request)
    if server.ending:
        raise ShuttingDown("The server is shutting down.", retry_after=_RETRY_AFTER)
    await server.rate.count(request, f"{who.known_as} sockets", server.rate.of(who.rate_limit) * _PER_RESPONSE)
    server.sockets.check(who.owner)
    with server.sockets.one(who.owner):
        answer = web.WebSocketResponse(
            timeout=_CLOSE_TIMEOUT,
            heartbeat=server.socket_times.heartbeat,
            autoping=False,  # they would be answered without end before anything else is looked at
            compress=False,
            max_msg_size=server.bodies.largest,
            decode_text=False,
        )
        if not answer.can_prepare(request):
            raise InvalidRequest("The request is not a valid WebSocket handshake.")
        await answer.prepare(request)
        socket = Socket(request, server, answer)
        request.app[SOCKETS].open.add(socket)
        try:
            await socket.serve()
        finally:
            request.app[SOCKETS].open.discard(socket)
            await socket.leave()
        return answer


class Socket:
    """A WebSocket connection."""

    def __init__(self, request: web.Request, server: Server, answer: web.WebSocketResponse) -> None:
        self._request = request
        self._server = server
        self._answer = answer
        self._name = uuid.uuid4().hex
        self._lanes: dict[str | None, Lane] = {}
        self._steering = Steering(self._send, server.decoding)
        self._life = SocketLife(server.socket_times)
        self._going = False
        self._closing: asyncio.Task[bool] | None = None
        self._arriving = Arriving(server.bodies)
        assert isinstance(request.protocol, Connection)
        request.protocol.upgraded(self._arrives)

    async def serve(self) -> None:
        """Read what the client says until it says no more."""
        while not self._answer.closed:
            message = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._life.next_look(busy=bool(self._lanes))):
                    message = await self._answer.receive()
            await asyncio.sleep(0)  # messages that have arrived already are read without a wait, and nobody else would have a turn
            if self._life.over(busy=bool(self._lanes)):
                await self._close_old()
                return
            if message is not None and not await self._take(message):
                return

    async def _close_old(self) -> None:
        if self._life.at_end:
            await self._refuse(self._life.too_old(), None)
            await self._answer.close(code=WSCloseCode.OK, message=b"The connection has reached its greatest age. Open a new one.")
        else:
            await self._answer.close(code=WSCloseCode.OK, message=b"idle: the connection was not used for too long")

    def _arrives(self, size: int) -> bool:
        """So many bytes have come. False: no more may come."""
        if not self._arriving.more(size):
            self._close_soon(WSCloseCode.TRY_AGAIN_LATER, b"There is no room for the message now, or it came too slowly.")
            return False
        return True

    def _close_soon(self, code: WSCloseCode, reason: bytes) -> None:
        if self._closing is None:
            self._closing = spawn(f"the close of socket {self._name}", self._answer.close(code=code, message=reason))

    async def _take(self, message: WSMessage) -> bool:
        """What becomes of a message; False: it was the last one."""
        if message.type is WSMsgType.PING:
            with contextlib.suppress(ConnectionError):
                await self._answer.pong(message.data)
        if message.type in (WSMsgType.PING, WSMsgType.PONG):
            return True
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return False
        self._life.used()
        raw, decoding = message.data, self._server.decoding
        self._arriving.take(len(raw))
        body = Body(self._server.bodies)
        try:
            body.add(raw)
            who = await self._server.admit(self._request)
            said = await decoding.run(len(raw), socket_messages.decode, raw)
            if isinstance(said, Steer):
                body.let_go()
                await self._steering.take(said)
            else:
                body.replace(said.content)
                self._queue(Request(who, body, msgspec.structs.replace(said, content=b"")))
        except ProxyError as error:
            body.let_go()
            await self._refuse(error, await decoding.run(len(raw), socket_messages.stream_id_of, raw))
        return True

    def _queue(self, request: Request) -> None:
        if self._going or self._server.ending:
            raise ShuttingDown("The server is shutting down.", retry_after=_RETRY_AFTER)
        if self._life.at_end:
            raise self._life.too_old()
        if sum(lane.under_way for lane in self._lanes.values()) >= _UNDER_WAY:
            raise RateLimited(f"A connection may have {_UNDER_WAY} responses under way.", retry_after=_RETRY_AFTER)
        stream_id = request.create.stream_id
        lane = self._lanes.setdefault(stream_id, Lane())
        lane.waiting.append(request)
        if lane.task is None:
            lane.task = spawn(f"a lane of socket {self._name}", self._work(lane, stream_id))
            lane.task.add_done_callback(self._stop_after_a_bug)

    async def _work(self, lane: Lane, stream_id: str | None) -> None:
        """Make the responses of a lane, one after the other."""
        try:
            while lane.waiting:
                try:
                    await self._respond(lane.waiting[0])
                except ProxyError as error:
                    await self._refuse(error, stream_id)
                finally:
                    lane.waiting.popleft()
        except ConnectionError:
            pass  # the client has left: `serve` finds out
        finally:
            del self._lanes[stream_id]
            for request in lane.waiting:
                request.body.let_go()
        if self._going and not self._lanes:
            await self._say_goodbye()

    def _stop_after_a_bug(self, lane: asyncio.Task[None]) -> None:
        """Its client would wait for ever; the bug itself is in the log."""
        if not lane.cancelled() and lane.exception() is not None:
            self._close_soon(WSCloseCode.INTERNAL_ERROR, b"Internal server error.")

    async def _respond(self, request: Request) -> None:
        """Make a response, and those that go on from it with what its client had to say meanwhile."""
        create, steered = await self._steering.claim(request.create, request.body.content)
        if steered:
            request.body.replace(create.content)
        while True:
            try:
                more = await self._make(msgspec.structs.replace(request, create=create), steered)
            finally:
                if not request.body.queued:
                    request.body.let_go()
            if more is None:
                return
            create, steered = more
            request = msgspec.structs.replace(request, body=Body(self._server.bodies))
            request.body.add(create.content)

    async def _make(self, request: Request, steered: list[Steered]) -> tuple[Create, list[Steered]] | None:
        server, who, body, stream_id = self._server, request.who, request.body, request.create.stream_id
        run = None
        try:
            try:
                run = await responses.make_run(server, who, body, functools.partial(server.recent.get, self._name))
                given = b"[]" if run.asked.store else (await server.decoding.run(body.size, run.given))[1]
                await responses.begin(server, who, run, body)
            except ProxyError as error:
                self._evict(request.create)
                await self._steering.fail(steered, "successor_creation_failed", error.told, stream_id)
                raise
            self._life.accepted()
            self._steering.began(run, request.create)
            await self._tell(run, stream_id)
            if run.stream.failure is not None:
                self._evict(request.create)
            elif not run.asked.store:
                recorded = stored.encode_conversation(tuple(run.stream.recorded))
                made = Made(msgspec.json.encode(run.stream.response), (given, recorded))
                server.recent.put(who.owner, self._name, run.id, made)
            return await self._steering.ended(run)
        finally:
            if run is not None:
                self._steering.left(run)
                run.leave()

    def _evict(self, create: Create) -> None:
        """What a response that failed went on from is not gone on from here again (Open Responses, "WebSocket transport")."""
        if create.previous_response_id is not None:
            self._server.recent.drop(self._name, create.previous_response_id)

    async def _tell(self, run: Run, stream_id: str | None) -> None:
        """Send all events of a response, up to its end. Raises what `Run.next` does."""
        found = run.first()
        while True:
            for event in found:
                await self._send(event, stream_id)
            if run.told:
                return
            found = await run.next()

    async def _send(self, event: ServerEvent, stream_id: str | None) -> None:
        await self._answer.send_frame(socket_messages.encode(event, stream_id), WSMsgType.TEXT)

    async def _refuse(self, error: ProxyError, stream_id: str | None) -> None:
        status, told = errors.told(error)
        if isinstance(error, ResponseNotFound) and error.param == "previous_response_id":
            status, told = 400, msgspec.structs.replace(told, code="previous_response_not_found")
        refusals.of_this_process.tell(self._request, status, error)
        with contextlib.suppress(ConnectionError):
            await self._send(ErrorEvent(status, told), stream_id)
        if isinstance(error, InvalidApiKey):
            await self._answer.close(code=WSCloseCode.POLICY_VIOLATION, message=b"The API key is not valid any more.")
        elif self._life.refused():
            await self._answer.close(code=WSCloseCode.POLICY_VIOLATION, message=b"Too many requests in a row were refused.")

    async def go_away(self) -> None:
        """Close the socket, now or once it has no responses in progress."""
        self._going = True
        if not self._lanes:
            await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        await self._answer.close(code=WSCloseCode.GOING_AWAY, message=b"The server is shutting down.")

    async def leave(self) -> None:
        """Stop all responses and drop what was kept: the client is gone."""
        for lane in list(self._lanes.values()):
            if lane.task is not None:
                await see_out(lane.task)
            for request in lane.waiting:
                request.body.let_go()
        self._arriving.let_go()
        if self._closing is not None:
            await asyncio.wait([self._closing])
        self._server.recent.forget(self._name)
