"""Reverse proxies of Debian with the configurations of docs/examples, on other ports: caddy.py, haproxy.py, nginx.py.

A test is skipped where the program is missing.
"""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
import trustme

from tests.support.sessions import http_session

NAME = "codex.example"  # as the examples are called
_EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
_START_LIMIT = 20.0


class Front(msgspec.Struct, frozen=True):
    """One that runs: its port of loopback, and who vouches for it where it has TLS."""

    port: int
    authority: trustme.CA | None = None

    @property
    def address(self) -> str:
        return f"{'https' if self.authority else 'http'}://localhost:{self.port}"

    def session(self, source: str = "127.0.0.1") -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        """A client at an address of this machine, which asks for NAME."""
        connector = aiohttp.TCPConnector(ssl=self._trusting() or True, local_addr=(source, 0))
        return http_session(connector=connector, headers={"Host": NAME})

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection("localhost", self.port, ssl=self._trusting())

    def _trusting(self) -> ssl.SSLContext | None:
        if self.authority is None:
            return None
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


def example(name: str, changes: Mapping[str, str]) -> str:
    """The text of an example with `changes`, old to new, each at its only place."""
    text = (_EXAMPLES / name).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{name} does not have {old!r} once"
        text = text.replace(old, new)
    return text


def certify(authority: trustme.CA, directory: Path) -> tuple[Path, Path]:
    """Write a certificate for NAME and localhost, and its key; their paths."""
    certificate = authority.issue_cert(NAME, "localhost")
    paths = directory / "cert.pem", directory / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(paths[0])
    certificate.private_key_pem.write_to_path(paths[1])
    return paths


@asynccontextmanager
async def running(program: str, *arguments: str | Path, port: int, environ: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """Run a program from when it accepts connections on a port of loopback until the block ends."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    process = await asyncio.create_subprocess_exec(path, *arguments, env=environ)
    try:
        async with asyncio.timeout(_START_LIMIT):
            while not await _accepts(port):
                assert process.returncode is None, f"{program} did not take the configuration"
                await asyncio.sleep(0.01)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
