"""Request bodies, read within bounds on each one, on all together, and on how far a compressed one may expand.

A body counts from its first byte until its turn begins, while it is read and while it waits in the queue. Part of the total is
reserved for small bodies, so that one client's large ones cannot lock out others.
"""

import asyncio

from aiohttp import web

from codex_proxy.errors import BodyTooLarge, InvalidRequest, RequestTimeout, ServerFull, UnsupportedMediaType
from codex_proxy.web.gates.compression import DAMAGED, Inflated

_READ_TIMEOUT = 30.0  # seconds
_RETRY_AFTER = 5.0  # seconds
_SMALL = 65_536  # bytes
_LOOSE = 4096  # bytes
_DATA_FRAME = 14  # bytes around the data of a frame, at most
_FRAMED = 64  # bytes of data for each byte of framing, in fragments of a kilobyte
_CONTROL_FRAME = 6  # bytes around the data of a client's ping: two of the header, four of the mask
_FOR_SMALL_ONES = 8  # one share in eight


class Body:
    """The bytes of one request, counted among all bodies."""

    def __init__(self, all_of_them: "Bodies") -> None:
        self.content = bytearray()
        self.queued = False
        self._all = all_of_them
        self._counted = 0

    def add(self, piece: bytes) -> None:
        """Append a piece. Raises BodyTooLarge and ServerFull."""
        size = len(self.content) + len(piece)
        if size > self._all.largest:
            raise _too_large()
        self._all.check(size, self._counted)
        self.content += piece
        self.count(size)

    def count(self, size: int) -> None:
        """Set the number of bytes that this body counts for."""
        self._all.note(self._counted, size)
        self._counted = size

    @property
    def size(self) -> int:
        """The number of bytes that this body counts for."""
        return self._counted

    def decoded(self) -> None:
        """Drop the bytes after decoding; the decoded objects count for as much."""
        self.content = bytearray()

    def replace(self, content: bytes) -> None:
        """Replace the content."""
        self.content = bytearray(content)
        self.count(len(content))

    def queue(self, size: int) -> None:
        """Hand over to the queued turn, which takes `size` bytes and is then released by its job."""
        self.queued = True
        self._replace(size)

    def let_go(self) -> None:
        """Stop counting this body. Idempotent."""
        self._replace(0)

    def _replace(self, size: int) -> None:
        self.content = bytearray()
        self.count(size)


class Bodies:
    """All bodies being read or waiting. `largest` bounds each one; `most` bounds all together, give or take a little."""

    def __init__(self, largest: int, most: int) -> None:
        self.largest = largest
        self._most_of_small_ones = most // _FOR_SMALL_ONES
        self._most_of_large_ones = max(largest, most - self._most_of_small_ones)
        self._small = self._large = 0  # bytes

    @property
    def held(self) -> int:
        return self._small + self._large

    def check(self, size: int, before: int) -> None:
        """Check that a body may grow from `before` to `size` bytes. Raises ServerFull."""
        if size <= _SMALL:
            full = self._small + size - before > self._most_of_small_ones
        else:
            full = self._large + size - (before if before > _SMALL else 0) > self._most_of_large_ones
        if full:
            problem = "The server has reached its limit for pending request bodies (PROXY_MAX_BODIES_MB). Try again."
            raise ServerFull(problem, retry_after=_RETRY_AFTER)

    def note(self, before: int, size: int) -> None:
        """Record that a body has changed its size."""
        for change in (-before, size):
            if abs(change) <= _SMALL:
                self._small += change
            else:
                self._large += change

    async def read(self, request: web.Request, timeout: float = _READ_TIMEOUT) -> Body:
        """Read a JSON body. Raises UnsupportedMediaType, BodyTooLarge, RequestTimeout, InvalidRequest, ServerFull."""
        if request.content_type != "application/json":
            raise UnsupportedMediaType("The request body must be JSON. Send the header: Content-Type: application/json")
        inflated = Inflated(request.headers.get("Content-Encoding", "").strip().lower() or "identity")
        if (request.content_length or 0) > self.largest:
            raise _too_large()  # without waiting for it
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = Body(self)
        try:
            async with asyncio.timeout(timeout):
                await _fill(body, request, inflated)
        except BaseException as error:
            body.let_go()
            if isinstance(error, TimeoutError):
                raise RequestTimeout(f"The request body did not arrive within {timeout:g} seconds.") from None
            if isinstance(error, (web.RequestPayloadError, *DAMAGED)):
                raise InvalidRequest("The request body does not match its headers.") from error
            raise
        return body


class Arriving:
    """The incomplete message on a WebSocket: it counts among the bodies, and must be complete in time."""

    def __init__(self, all_of_them: Bodies) -> None:
        self._all = all_of_them
        self._counted = 0
        self._began: float | None = None  # when more than a few bytes were first pending, by the loop's clock

    def more(self, size: int) -> bool:
        """Count arriving bytes. Returns False if there is no room for them, or they come too slowly."""
        clock = asyncio.get_running_loop().time
        try:
            self._all.check(self._counted + size, self._counted)
        except ServerFull:
            return False
        self._count(self._counted + size)
        if self._counted > _LOOSE and self._began is None:
            self._began = clock()
        return self._began is None or clock() - self._began <= _READ_TIMEOUT

    def take(self, size: int) -> None:
        """Take a complete message with so many bytes of data, which is then counted separately.

        What is left counts on, and must be complete in time, as it is the next message; but a little is the message's own framing.
        """
        left = self._counted - size - _DATA_FRAME
        if left <= max(_LOOSE, size // _FRAMED):
            left = 0
        self._began = asyncio.get_running_loop().time() if left else None
        self._count(left)

    def take_control(self, size: int) -> None:
        """Take a ping or a pong with so many bytes; a message may be arriving around it."""
        self._count(max(0, self._counted - size - _CONTROL_FRAME))
        if self._counted <= _LOOSE:
            self._began = None

    def let_go(self) -> None:
        self._count(0)

    def _count(self, size: int) -> None:
        self._all.note(self._counted, size)
        self._counted = size


async def _fill(body: Body, request: web.Request, inflated: Inflated) -> None:
    while chunk := await request.content.readany():
        for piece in inflated.pieces(chunk):
            body.add(piece)
            if piece is not chunk:
                await asyncio.sleep(0)
    inflated.close()


def _too_large() -> BodyTooLarge:
    return BodyTooLarge("The request body exceeds this server's limit (PROXY_MAX_BODY_MB).")
