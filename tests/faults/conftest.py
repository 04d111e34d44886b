"""A server whose CLI is the stand-in, and the faults that it is told to show."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from codex_proxy.demo.home import Home
from tests.conftest import Proxy, ProxyStarter
from tests.support import quiesce
from tests.support.answers import Form, ask
from tests.support.fakes import codex
from tests.support.sessions import http_session


class Faulty:
    """The server, and what it was like before anything went wrong."""

    def __init__(self, proxy: Proxy, home: Home, before: quiesce.Rest) -> None:
        self.proxy = proxy
        self._home = home
        self._before = before

    def will(self, fault: str, step: str) -> None:
        """Have the CLI show a fault at its next step of this name; at every one when the fault ends in "!"."""
        (self._home.codex_home / "faults" / step.replace("/", "-")).write_text(fault)

    def will_not(self) -> None:
        """Whatever was to come, and "!" too."""
        for path in (self._home.codex_home / "faults").iterdir():
            path.unlink()

    @property
    def shown(self) -> bool:
        """Whether the fault has come."""
        return not any((self._home.codex_home / "faults").iterdir())

    async def quiesced(self) -> None:
        """Nothing is left over, and the next turn works."""
        await quiesce.quiesced(
            self.proxy.server, self._home.root / "tmp", codex.grandchild_time(self._home.codex_home), self._before
        )

    async def works(self, form: Form) -> None:
        seen = await ask(self.proxy, form)
        assert (seen.status, seen.code, seen.text) == (200, None, "".join(codex.WORDS))
        await self.quiesced()


FaultyStarter = Callable[[], AbstractAsyncContextManager[Faulty]]


@pytest.fixture
def start_faulty(start_proxy: ProxyStarter, environ: dict[str, str], home: Home) -> FaultyStarter:
    """Start a server with one supervisor and the stand-in as its CLI."""
    program = home.root / "codex"
    source = Path(codex.__file__).read_text().partition("\n")[2]
    program.write_text(f"#!{sys.executable} -IS\n{source}")
    program.chmod(0o755)
    (home.codex_home / "faults").mkdir()
    (home.root / "tmp").mkdir()
    environ |= {
        "CODEX_PATH": str(program),
        "CODEX_MAX_PARALLEL_REQUESTS": "1",
        "PROXY_STORE": "memory",
        "TMPDIR": str(home.root / "tmp"),
    }

    @asynccontextmanager
    async def start() -> AsyncIterator[Faulty]:
        async with start_proxy() as proxy:
            connector = aiohttp.TCPConnector(force_close=True)  # no connection of ours is counted as left over
            async with http_session(connector=connector, timeout=aiohttp.ClientTimeout(30)) as http:
                proxy.http = http
                await ask(proxy, ("chat/completions", True))
                stray = codex.grandchild_time(home.codex_home)
                await asyncio.sleep(0.2)
                yield Faulty(proxy, home, quiesce.rest(proxy.server, home.root / "tmp", stray))

    return start
