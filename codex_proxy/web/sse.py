"""Server-sent events to one client: frames out as they come, comments while there are none, a bound on a client that stalls."""

from types import TracebackType

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse

KEEPALIVE_INTERVAL = 15.0  # seconds
_PING, _COMMENT = b": ping\n\n", b": ping\n"  # what aiohttp-sse writes, and what is sent
STALL_TIMEOUT = 30.0  # seconds that one write may take; kernel buffers have taken 4 MB by then


class Frames:
    """The frames of an answer, event and data, that may be given again; none once they are larger than what is kept."""

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
    """Remembers its frames where the request has a place for them.

    Left by an exception it is cut off: a client that saw neither its end nor that of the connection would wait for ever.
    """

    frames: Frames | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if request.version < HttpVersion11:  # it knows no chunks: the stream ends when the connection does
            self.headers["Connection"] = "close"
            self.force_close()
        return await super().prepare(request)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """A comment goes without the blank line after it: clients take that for the end of an event that has no data."""
        await super().write(_COMMENT if data == _PING else data)

    async def send(self, data: str, id: str | None = None, event: str | None = None, retry: int | None = None) -> None:
        if self.frames is not None:
            self.frames.add(event, data)
        await super().send(data, id, event, retry)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(exc_type, exc, traceback)
        finally:
            if exc is not None:
                self._abort_transport()


async def send_event(stream: EventSourceResponse, event: msgspec.Struct) -> None:
    """Send an event of the Responses API: its type is its tag, and the name of the frame."""
    tag = type(event).__struct_config__.tag
    await stream.send(msgspec.json.encode(event).decode(), event=str(tag))


async def opened(
    request: web.Request,
    headers: dict[str, str],
    stall_timeout: float = STALL_TIMEOUT,
    keepalive_interval: float = KEEPALIVE_INTERVAL,
) -> EventSourceResponse:
    """Commit to 200 and a stream. The caller uses it as an async context manager."""
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
