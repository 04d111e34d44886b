"""What a client without the key can do to a server: python -m tests.e2e.stranger KIND PORT [KEY].

A process of its own, so that its work is not taken for the server's. Prints how many answers of each status it got;
0 stands for a connection that ended without one.
"""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator

import msgspec

_BLOCK = bytes(64 * 1024)
_CHUNKS = 100_000


async def upload(port: int, _: str) -> list[int]:
    """300 MB without a key, four times at once."""
    return await asyncio.gather(*(_upload(port) for _ in range(4)))


async def wrong_keys(port: int, _: str) -> list[int]:
    """A thousand in a second, for four seconds, on ten connections."""
    per_round, rounds = 10, 40
    answers = await asyncio.gather(*(_guess(port, per_round, rounds) for _ in range(10)))
    return [status for some in answers for status in some]


async def slow_heads(port: int, _: str) -> list[int]:
    """500 connections that send a byte of their head in half a second."""
    return await asyncio.gather(*(_drip(port) for _ in range(500)))


async def crowd(port: int, _: str) -> list[int]:
    """1,200 connections, each with the half of a head."""
    return await asyncio.gather(*(_half(port) for _ in range(1200)))


async def chunks(port: int, key: str) -> list[int]:
    """A body of 100,000 chunks of one byte, each a packet of its own."""
    body = b'{"messages":[{"role":"user","content":"chunks"}]}'.ljust(_CHUNKS)
    async with _connected(port) as (reader, writer):
        status = asyncio.ensure_future(_status(reader))
        writer.write(_head("Transfer-Encoding: chunked", f"Authorization: Bearer {key}"))
        with contextlib.suppress(ConnectionError):
            for byte in body:
                writer.write(b"1\r\n%c\r\n" % byte)
                await writer.drain()
                await asyncio.sleep(0)  # drain alone lets nobody read
            writer.write(b"0\r\n\r\n")
        return [await status]


async def _upload(port: int) -> int:
    async with _connected(port) as (reader, writer):
        status = asyncio.ensure_future(_status(reader))
        writer.write(_head("Content-Length: 300000000"))
        with contextlib.suppress(ConnectionError):
            for _ in range(300_000_000 // len(_BLOCK)):  # whatever the answer
                writer.write(_BLOCK)
                await writer.drain()
                await asyncio.sleep(0)  # drain alone lets nobody read
        return await status


async def _guess(port: int, per_round: int, rounds: int) -> list[int]:
    guess = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-guess\r\n\r\n"
    loop = asyncio.get_running_loop()
    async with _connected(port) as (reader, writer):
        found: list[int] = []
        began = loop.time()
        for number in range(rounds):
            await asyncio.sleep(began + number / 10 - loop.time())
            writer.write(guess * per_round)
            found += [await _status(reader) for _ in range(per_round)]
        return found


async def _drip(port: int) -> int:
    async with _connected(port) as (reader, writer):
        with contextlib.suppress(ConnectionError):
            for byte in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        return await _status(reader)
        return 0


async def _half(port: int) -> int:
    async with _connected(port) as (reader, writer):
        writer.write(b"GET /health HTTP/1.1\r\nHost:")
        return await _status(reader)


@contextlib.asynccontextmanager
async def _connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def _head(*more: str) -> bytes:
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def _status(reader: asyncio.StreamReader) -> int:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0
    return int(head.split()[1])


KINDS = {"upload": upload, "wrong_keys": wrong_keys, "slow_heads": slow_heads, "crowd": crowd, "chunks": chunks}


def main() -> None:
    """Do it, and print the answers as JSON, status -> number."""
    kind, port, key = sys.argv[1:]
    statuses = asyncio.run(KINDS[kind](int(port), key))
    print(msgspec.json.encode(Counter(statuses)).decode())


if __name__ == "__main__":
    main()
