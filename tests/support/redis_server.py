"""A real redis-server for a test: on a free loopback port, in memory, nothing written outside a temporary directory.

A test that asks for one where the program is missing is skipped.
"""

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.machine import free_port

_START_LIMIT = 30.0  # seconds; it takes 0.02


class RedisServer:
    """Started and stopped as often as a test likes, always on the same port, and empty at each start."""

    def __init__(self, program: str, directory: str, options: tuple[str, ...]) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._argv = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", directory]
        self._argv += ["--save", "", "--appendonly", "no", *options]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Ends when the server accepts connections."""
        self._process = await asyncio.create_subprocess_exec(*self._argv, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        said = b""
        async with asyncio.timeout(_START_LIMIT):
            while b"Ready to accept connections" not in said:
                said = await self._process.stdout.readline()
                assert said, "redis-server ended at its start"

    def freeze(self) -> None:
        """It answers nobody, and refuses nobody, until `thaw`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """As a crash does: without a word, and all is forgotten."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.communicate()
            self._process = None


@asynccontextmanager
async def redis_server(*options: str) -> AsyncIterator[RedisServer]:
    """Start one; `options` are those of its command line. It is gone at the end of the block."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(program, directory, options)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()
