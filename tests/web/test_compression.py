"""Compressed bodies: every encoding that is served, its bounds, and what is said of the others."""

import gzip
import sys
import zlib
from collections.abc import AsyncIterator

import brotli
import pytest

from codex_proxy.demo.model import ModelServer
from tests.conftest import Proxy, ProxyStarter
from tests.support.refusals import GOOD_BODY, post, refusal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MB = 1024 * 1024
_PADDED = b" " * 900_000 + GOOD_BODY
_HALVES = (GOOD_BODY[:9], GOOD_BODY[9:])
_SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # a frame of zstd that holds nothing of the content
_BOMB = b'{"messages":[' + b"{}," * (3 * _MB) + b"{}]}"


def _bare(body: bytes) -> bytes:
    """deflate without its header, as some clients send it."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def _streamed(body: bytes, window_log: int = 20) -> bytes:
    """A frame that does not tell its size, as a stream has it."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
    return b"".join([*(compressor.compress(body[at : at + 7]) for at in range(0, len(body), 7)), compressor.flush()])


@pytest.fixture
async def bounded(one_worker: dict[str, str], start_proxy: ProxyStarter) -> AsyncIterator[Proxy]:
    """A server that takes bodies up to 1 MB."""
    one_worker |= {"PROXY_MAX_BODY_MB": "1", "CODEX_DEFAULT_MODE": "chat"}
    async with start_proxy() as proxy:
        yield proxy


async def test_a_body_is_read_whatever_served_encoding_it_has(bounded: Proxy, model: ModelServer) -> None:
    rows = [("", GOOD_BODY), ("identity", GOOD_BODY)]
    rows += [(name, body) for name in ("gzip", "x-gzip", "GZip") for body in (gzip.compress(GOOD_BODY), gzip.compress(_PADDED))]
    rows += [("gzip", b"".join(map(gzip.compress, _HALVES)))]
    rows += [("deflate", body) for body in (zlib.compress(GOOD_BODY), _bare(GOOD_BODY))]
    rows += [("zstd", body) for body in (zstd.compress(GOOD_BODY), zstd.compress(_PADDED), _streamed(GOOD_BODY))]
    rows += [("zstd", b"".join(map(zstd.compress, _HALVES))), ("zstd", _SKIPPED + zstd.compress(GOOD_BODY) + _SKIPPED)]
    rows += [("br", brotli.compress(GOOD_BODY)), ("br", brotli.compress(_PADDED))]
    for encoding, body in rows:
        answer = await post(bounded, body, {"Content-Encoding": encoding})
        assert answer.status == 200, (encoding, await answer.text())
    assert [request.prompt for request in model.requests] == ["hi"] * len(rows)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
async def test_a_body_that_is_not_what_its_encoding_says_is_400(bounded: Proxy, encoding: str) -> None:
    compress = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress, "br": brotli.compress}[encoding]
    whole = compress(GOOD_BODY)
    for body in (b"not compressed", whole[:-1], whole[:-9], whole + b"x", whole[:9] + b"\xff" * 40):
        answer = await post(bounded, body, {"Content-Encoding": encoding})
        assert (answer.status, (await refusal(answer)).type) == (400, "invalid_request_error"), body
    assert bounded.server.bodies.held == 0


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(_BOMB)),
        ("zstd", zstd.compress(_BOMB)),
        ("zstd", b"".join(zstd.compress(b" ") for _ in range(1001)) + zstd.compress(GOOD_BODY)),
        ("br", brotli.compress(_BOMB)),
        ("br", brotli.compress(b" " * (2 * _MB) + GOOD_BODY)),
    ],
)
async def test_a_body_that_expands_beyond_the_bounds_is_413(bounded: Proxy, encoding: str, body: bytes) -> None:
    answer = await post(bounded, body, {"Content-Encoding": encoding})
    assert (answer.status, (await refusal(answer)).code) == (413, "request_too_large")
    assert bounded.server.bodies.held == 0


async def test_a_frame_that_asks_for_a_window_of_128_mb_is_refused(bounded: Proxy) -> None:
    answer = await post(bounded, _streamed(GOOD_BODY, window_log=27), {"Content-Encoding": "zstd"})
    assert (answer.status, (await refusal(answer)).type) == (400, "invalid_request_error")


async def test_another_encoding_is_415_and_those_that_are_served_are_named(bounded: Proxy, model: ModelServer) -> None:
    for encoding in ("compress", "gzip, gzip", "strange", "zstd, br"):
        answer = await post(bounded, GOOD_BODY, {"Content-Encoding": encoding})
        error = await refusal(answer)
        assert (answer.status, error.code) == (415, "unsupported_media_type")
        assert "gzip, deflate, zstd or br" in error.message
    assert model.calls == 0
