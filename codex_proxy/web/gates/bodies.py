"""The bodies of requests: read within bounds on each, on all together, and on what compression may make of one.

A body counts from its first byte until its turn has begun, whether it is being read or waits in the queue. The sum has a
part for small ones only, so that the large ones of some client keep no other from asking.
"""

import asyncio

from aiohttp import web

from codex_proxy.errors import BodyTooLarge, InvalidRequest, RequestTimeout, ServerFull, UnsupportedMediaType
from codex_proxy.web.gates.compression import DAMAGED, Inflated

_READ_TIMEOUT = 30.0  # seconds
_RETRY_AFTER = 5.0  # seconds
_SMALL = 65_536  # bytes
_LOOSE = 4096  # bytes
_FOR_SMALL_ONES = 8  # one part of so many


class Body:
    """The bytes of one request."""

    def __init__(self, all_of_them: "Bodies") -> None:
        self.content = bytearray()
        self.queued = False
        self._all = all_of_them
        self._counted = 0

    def add(self, piece: bytes) -> None:
        """Raises BodyTooLarge and ServerFull."""
        size = len(self.content) + len(piece)
        if size > self._all.largest:
            raise _too_large()
        self._all.check(size, self._counted)
        self.content += piece
        self.count(size)

    def count(self, size: int) -> None:
        """So many bytes are kept of it now."""
        self._all.note(self._counted, size)
        self._counted = size

    @property
    def size(self) -> int:
        """What it counts for."""
        return self._counted

    def decoded(self) -> None:
        """Its bytes are not needed any more; what was made of them counts for as much."""
        self.content = bytearray()

    def replace(self, content: bytes) -> None:
        """What is kept of it is this."""
        self.content = bytearray(content)
        self.count(len(content))

    def queue(self, size: int) -> None:
        """Its turn waits, in so many bytes: now it is the job that lets go of it."""
        self.queued = True
        self._replace(size)

    def let_go(self) -> None:
        """Nothing is kept of it any more; twice does no harm."""
        self._replace(0)

    def _replace(self, size: int) -> None:
        self.content = bytearray()
        self.count(size)


class Bodies:
    """All that are read or wait: one has at most `largest` bytes; all together have `most`, or little more."""

    def __init__(self, largest: int, most: int) -> None:
        self.largest = largest
        self._most_of_small_ones = most // _FOR_SMALL_ONES
        self._most_of_large_ones = max(largest, most - self._most_of_small_ones)
        self._small = self._large = 0  # bytes

    @property
    def held(self) -> int:
        return self._small + self._large

    def check(self, size: int, before: int) -> None:
        """Whether there is room for a body of this size, which has had the size `before`. Raises ServerFull."""
        if size <= _SMALL:
            full = self._small + size - before > self._most_of_small_ones
        else:
            full = self._large + size - (before if before > _SMALL else 0) > self._most_of_large_ones
        if full:
            problem = "The server has reached its limit for pending request bodies (PROXY_MAX_BODIES_MB). Try again."
            raise ServerFull(problem, retry_after=_RETRY_AFTER)

    def note(self, before: int, size: int) -> None:
        """A body has another size."""
        for change in (-before, size):
            if abs(change) <= _SMALL:
                self._small += change
            else:
                self._large += change

    async def read(self, request: web.Request, timeout: float = _READ_TIMEOUT) -> Body:
        """The JSON body of a request. Raises UnsupportedMediaType, BodyTooLarge, RequestTimeout, InvalidRequest, ServerFull."""
        if request.content_type != "application/json":
            raise UnsupportedMediaType("The request body must be JSON. Send the header: Content-Type: application/json")
        inflated = Inflated(request.headers.get("Content-Encoding", "").strip().lower() or "identity")
        if (request.content_length or 0) > self.largest:
            raise _too_large()  # before it is waited for
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
    """What comes on a WebSocket and is no whole message yet: it counts among the bodies, and does not take long.

    What is around a message, and pings, are a few bytes that nobody takes.
    """

    def __init__(self, all_of_them: Bodies) -> None:
        self._all = all_of_them
        self._counted = 0
        self._left = 0  # of it, when the latest message was whole: what was around its fragments, or the beginning of the next
        self._began: float | None = None  # by the loop's clock: since when there is more than a few bytes

    def more(self, size: int) -> bool:
        """So many bytes have come. False: there is no room for them, or they come too slowly."""
        clock = asyncio.get_running_loop().time
        try:
            self._all.check(self._counted + size, self._counted)
        except ServerFull:
            return False
        self._count(self._counted + size)
        if self._counted - self._left > _LOOSE and self._began is None:
            self._began = clock()
        return self._began is None or clock() - self._began <= _READ_TIMEOUT

    def take(self, size: int) -> None:
        """A message of so many bytes is whole; now it counts by itself."""
        self._began = None
        left = self._counted - size
        self._count(left if left > _LOOSE else 0)
        self._left = self._counted

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
