"""Large answers in JSON: how many are read from the store and written at once, and how each is written.

A client decides how fast it reads, and until then its answer is in memory. Rule: what reads an answer that may be large from the
store does so in `one`, and writes it there too, with `written`. Every other large answer is written by the middleware of the
deadline, because a connection counts as working only until its handler returns.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TypeGuard

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from codex_proxy.slots import Slots

_AT_ONCE, _OF_ONE_CALLER = 8, 2
_SMALL = 262_144  # bytes; below that an answer costs little more than its connection
_PIECE = 65_536  # bytes; asyncio copies what the socket does not take


class Answers:
    """The large answers that are being read and written. Its memory is bounded by their number: none exceeds the largest body."""

    def __init__(self) -> None:
        self.slots = Slots("large answers are being read", _AT_ONCE, _OF_ONE_CALLER)

    def one(self, caller: str, size: int) -> AbstractAsyncContextManager[None]:
        """Hold a slot for an answer of about `size` bytes; a small one needs none. Entering it raises ServerFull."""
        return nullcontext() if size <= _SMALL else self.slots.one(caller)


def body(content: bytes) -> bytes | Payload:
    """Return the body of an answer in JSON; a large one is written in pieces."""
    return content if len(content) <= _PIECE else _InPieces(content)


async def written(request: web.Request, answer: web.Response) -> web.Response:
    """Write an answer to its end and return it."""
    await answer.prepare(request)
    await answer.write_eof()
    return answer


def in_pieces(answer: web.StreamResponse) -> TypeGuard[web.Response]:
    """Return whether writing this answer takes as long as its client takes to read it."""
    return isinstance(answer, web.Response) and isinstance(answer.body, Payload)


class _InPieces(Payload):
    """A body that is written in pieces, each when the client has read most of those before, so that others come in between."""

    _value: bytes
    _autoclose = True  # there is nothing to close

    def __init__(self, content: bytes) -> None:
        super().__init__(content, content_type="application/json")
        self._size = len(content)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        whole = memoryview(self._value)
        for start in range(0, len(whole), _PIECE):
            await writer.write(whole[start : start + _PIECE])
            await writer.drain()
            await asyncio.sleep(0)
