"""HAProxy, with the configuration of docs/examples."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.front import Front, example, running
from tests.support.machine import free_port


@asynccontextmanager
async def haproxy(directory: Path, one: str, two: str) -> AsyncIterator[Front]:
    """Run it in front of the instances at `one` and `two` (addresses)."""
    port = free_port()
    text = example(
        "haproxy.cfg",
        {"127.0.0.1:8080": f"127.0.0.1:{port}", "127.0.0.1:8001": urlsplit(one).netloc, "127.0.0.1:8002": urlsplit(two).netloc},
    )
    config = directory / "haproxy.cfg"
    config.write_text(text)
    async with running("haproxy", "-db", "-f", config, port=port):
        yield Front(port)
