"""HAProxy of Debian with the configuration of docs/examples, on other ports. A test is skipped where the program is missing."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.machine import free_port

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "haproxy.cfg"
_START_LIMIT = 20.0


@asynccontextmanager
async def haproxy(one: str, two: str) -> AsyncIterator[str]:
    """Start it before the instances at `one` and `two` (addresses); yields its own address."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("haproxy is not installed")
    port = free_port()
    text = EXAMPLE.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    for example, address in (("127.0.0.1:8001", one), ("127.0.0.1:8002", two)):
        assert example in text
        text = text.replace(example, address.removeprefix("http://"))
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(text)
        config.flush()
        process = await asyncio.create_subprocess_exec(program, "-db", "-f", config.name)
        try:
            await _accepts(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            await process.wait()


async def _accepts(port: int) -> None:
    async with asyncio.timeout(_START_LIMIT):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0)
