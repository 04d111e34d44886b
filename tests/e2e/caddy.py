"""Caddy, with the configuration of docs/examples, but a certificate of ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from tests.e2e.front import NAME, Front, certify, example, running
from tests.support.machine import free_port


@asynccontextmanager
async def caddy(directory: Path, one: str, two: str) -> AsyncIterator[Front]:
    """Run it in front of the instances at `one` and `two` (addresses)."""
    port = free_port()
    authority = trustme.CA()
    certificate, key = certify(authority, directory)
    site = f"https://{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate} {key}\n"
    text = example(
        "Caddyfile", {f"{NAME} {{\n": site, "127.0.0.1:8001": urlsplit(one).netloc, "127.0.0.1:8002": urlsplit(two).netloc}
    )
    config = directory / "Caddyfile"
    config.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n\tlog {\n\t\tlevel ERROR\n\t}\n}\n" + text)
    arguments = ("run", "--config", config, "--adapter", "caddyfile")
    async with running("caddy", *arguments, port=port, environ={"HOME": str(directory)}):
        yield Front(port, authority)
