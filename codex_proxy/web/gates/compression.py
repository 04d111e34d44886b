"""Compressed request bodies, expanded piece by piece within bounds on memory and ratio.

gzip and deflate use zlib, zstd the standard library's module or its backport, br Google's library. With every encoding a piece is
about 64 kB, so a bomb is detected before it is large.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli

from codex_proxy.errors import BodyTooLarge, UnsupportedMediaType

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 65_536  # bytes to decompress before other tasks may run
_RATIO = 100  # the largest expansion past the first megabyte: JSON expands 5 to 20 times, gzip at worst 1030 times
_FREE_OF_RATIO = 1024 * 1024
_MAX_MEMBERS = 1000  # consecutive members in one body; a parallel compressor writes about one per megabyte
_WINDOW_LOG = 23  # 8 MB, the most that RFC 9659 lets a sender of zstd require; a frame may claim 2 GB
DAMAGED = (zlib.error, zstd.ZstdError, brotli.error, EOFError)  # what `Inflated` raises for a body that is not in its encoding


class _Decoder(Protocol):
    """A compressed stream. `ended`: it is complete; `rest`: input not consumed yet; `hungry`: it needs more input to continue."""

    ended: bool
    rest: bytes
    hungry: bool

    def decompress(self, data: bytes) -> bytes: ...


class Inflated:
    """The decompressed form of a body. Raises one of DAMAGED if the body is not in its encoding."""

    def __init__(self, encoding: str) -> None:
        """Raise UnsupportedMediaType for an unknown encoding."""
        if encoding not in ("identity", *_DECODERS):
            names = f"{', '.join(_NAMED[:-1])} or {_NAMED[-1]}"
            raise UnsupportedMediaType(f"The request's Content-Encoding is not supported. Use {names}, or none.")
        self._open = _DECODERS.get(encoding)
        self._inside: _Decoder | None = None
        self._given = self._made = self._members = 0

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Decompress a chunk, yielding pieces. Raises BodyTooLarge."""
        if self._open is None:
            yield chunk
            return
        self._given += len(chunk)
        while True:
            if self._inside is None or (self._inside.ended and chunk):  # gzip files and zstd frames may be concatenated
                self._inside = self._next(self._open, chunk)
            piece = self._inside.decompress(chunk)
            self._made += len(piece)
            if self._made > max(_FREE_OF_RATIO, self._given * _RATIO):
                raise BodyTooLarge(f"The request body expands to more than {_RATIO} times its compressed size.")
            yield piece
            chunk = self._inside.rest
            if not chunk and self._inside.hungry:
                return

    def close(self) -> None:
        """End the body; raises EOFError if it is incomplete."""
        if self._inside is not None and not self._inside.ended:
            raise EOFError

    def _next(self, begin: Callable[[int], _Decoder], chunk: bytes) -> _Decoder:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise BodyTooLarge(f"The request body has more than {_MAX_MEMBERS} compressed parts.")
        return begin(chunk[0])


class _Zlib:
    def __init__(self, window: int) -> None:
        self._inside = zlib.decompressobj(window)
        self.ended, self.rest, self.hungry = False, b"", True

    def decompress(self, data: bytes) -> bytes:
        piece = self._inside.decompress(data, PIECE)
        self.ended = self._inside.eof
        self.rest = self._inside.unused_data if self.ended else self._inside.unconsumed_tail
        self.hungry = self.ended or len(piece) < PIECE
        return piece


class _Zstd:
    def __init__(self) -> None:
        self._inside = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
        self.ended, self.rest, self.hungry = False, b"", True

    def decompress(self, data: bytes) -> bytes:
        piece = self._inside.decompress(data, PIECE)
        self.ended = self._inside.eof
        self.rest = self._inside.unused_data if self.ended else b""
        self.hungry = self.ended or self._inside.needs_input
        return piece


class _Brotli:
    def __init__(self) -> None:
        self._inside = brotli.Decompressor()
        self.ended, self.rest, self.hungry = False, b"", True

    def decompress(self, data: bytes) -> bytes:
        piece: bytes = self._inside.process(data, output_buffer_limit=PIECE)
        self.ended = self._inside.is_finished()
        self.hungry = self.ended or (not piece and self._inside.can_accept_more_data())
        return piece


def _gzip(_: int) -> _Decoder:
    return _Zlib(zlib.MAX_WBITS | 16)


def _deflate(first: int) -> _Decoder:
    """Return a decoder with or without the zlib header, which some clients leave out."""
    return _Zlib(zlib.MAX_WBITS if first & 0xF == zlib.DEFLATED else -zlib.MAX_WBITS)


_DECODERS: dict[str, Callable[[int], _Decoder]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": lambda _: _Zstd(),
    "br": lambda _: _Brotli(),
}
_NAMED = ("gzip", "deflate", "zstd", "br")
