"""Server-sent events for one client: frames as they come, comments during silence, and a bound on stalled writes."""

import asyncio
from types import TracebackType

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse

KEEPALIVE_INTERVAL = 15.0  # seconds
_PING, _COMMENT = b": ping\n\n", b": ping\n"  # what aiohttp-sse writes, and what is sent
_PIECE = 65_536  # characters
STALL_TIMEOUT = 30.0  # seconds for one write; by then, kernel buffers have taken 4 MB


class Frames:
    """The frames of an answer (event, data), for replay; none once they exceed `largest`."""

    def __init__(self, largest: int) -> None:
        self.too_large = False
        self._left = largest
        self._kept: list[tuple[str | None, str]] = []

    def add(self, event: str | None, data: str) -> None:
        self._left -= len(data)
        self.too_large = self.too_large or self._left < 0
        if self.too_large:
            self._kept.clear()
        else:
            self._kept.append((event, data))

    def whole(self) -> tuple[tuple[str | None, str], ...]:
        return tuple(self._kept)


FRAMES = web.RequestKey("frames", Frames)


class _Stream(EventSourceResponse):
    """A stream that records its frames if the request has a place for them.

    It is cut off when left by an exception: a client that saw neither an end nor a closed connection would wait forever.
    """

    frames: Frames | None = None
    _in_frame = False  # a frame is being written in pieces

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if request.version < HttpVersion11:  # no chunked encoding: the stream ends with the connection
            self.headers["Connection"] = "close"
            self.force_close()
        return await super().prepare(request)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write, but send a comment without the blank line after it: clients would take that as the end of an empty event."""
        if data != _PING:
            await super().write(data)
        elif not self._in_frame:
            await super().write(_COMMENT)

    async def send(self, data: str, id: str | None = None, event: str | None = None, retry: int | None = None) -> None:
        if self.frames is not None:
            self.frames.add(event, data)
        if len(data) <= _PIECE or "\n" in data or "\r" in data or id is not None or retry is not None:
            return await super().send(data, id, event, retry)
        try:
            await self._send_in_pieces(data, event)
        except ConnectionResetError:
            self.stop_streaming()
            raise
        except TimeoutError:
            self.stop_streaming()
            self._abort_transport()
            raise

    async def _send_in_pieces(self, data: str, event: str | None) -> None:
        """Send a large frame, each piece when the client has read most of those before, so that others come in between."""
        self._in_frame = True
        try:
            await self._in_time(f"event: {event}\ndata: ".encode() if event is not None else b"data: ")
            for start in range(0, len(data), _PIECE):
                await self._in_time(data[start : start + _PIECE].encode())
                await asyncio.sleep(0)
            await self._in_time(b"\n\n")
        finally:
            self._in_frame = False

    async def _in_time(self, data: bytes) -> None:
        async with asyncio.timeout(self._send_timeout):
            await self.write(data)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(exc_type, exc, traceback)
        finally:
            if exc is not None:
                self._abort_transport()


async def send_event(stream: EventSourceResponse, event: msgspec.Struct) -> None:
    """Send an event of the Responses API; its type, the struct's tag, is also the frame's name."""
    tag = type(event).__struct_config__.tag
    await stream.send(msgspec.json.encode(event).decode(), event=str(tag))


async def opened(
    request: web.Request,
    headers: dict[str, str],
    stall_timeout: float = STALL_TIMEOUT,
    keepalive_interval: float = KEEPALIVE_INTERVAL,
) -> EventSourceResponse:
    """Commit to 200 and start a stream. Use the result as an async context manager."""
    stream = _Stream(
        headers=headers,
        sep="\n",
        allow_all_methods=True,  # its default answers 405 to POST
        ping_interval=keepalive_interval,
        send_timeout=stall_timeout,
    )
    stream.frames = request.get(FRAMES)
    await stream.prepare(request)
    return stream
