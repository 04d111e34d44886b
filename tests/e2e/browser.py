"""Debian's Chromium without a window, on pages that a server of the test gives it. A test is skipped where the program is missing.

A page does its work in JavaScript and posts what it found to the server that it came from: no driver is needed.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

_FIRST_PAGE = b"GET /page/"
QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"),
)


class Pages:
    """A server of pages: /page/NAME runs NAME(…) of the script; what a page posts to /found/NAME is in `found`."""

    def __init__(self, script: Path) -> None:
        self._script = script.read_text()
        self._found: dict[str, asyncio.Future[Any]] = {}  # Any: what the page says, JSON
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def served(cls, script: Path) -> AsyncIterator["Pages"]:
        pages = cls(script)
        app = web.Application()
        app.router.add_get("/page/{name}", pages._show)
        app.router.add_post("/found/{name}", pages._hear)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            pages.port = runner.addresses[0][1]
            yield pages
        finally:
            await runner.cleanup()

    async def found(self, name: str) -> Any:  # Any: as above
        """What a page found, once it has said so."""
        return await self._future(name)

    async def _show(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        text = f"<!doctype html><body><script>{self._script}</script><script>run({name})</script>"
        return web.Response(text=text, content_type="text/html", headers={"Connection": "close"})

    async def _hear(self, request: web.Request) -> web.Response:
        self._future(request.match_info["name"]).set_result(await request.json())
        return web.Response(status=204)

    def _future(self, name: str) -> "asyncio.Future[Any]":
        return self._found.setdefault(name, asyncio.get_running_loop().create_future())


@asynccontextmanager
async def rebound(pages: Pages, victim: str) -> AsyncIterator[int]:
    """A port that a name led to when its page was loaded, and that leads to the `victim` (an address) ever after.

    To the browser that is DNS rebinding: the same name and port, another server behind them.
    """

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            beginning = await reader.readexactly(len(_FIRST_PAGE))
            port = pages.port if beginning == _FIRST_PAGE else urlsplit(victim).port
            answers, asking = await asyncio.open_connection("127.0.0.1", port)
            asking.write(beginning)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pipe(reader, asking))
                group.create_task(_pipe(answers, writer))
        writer.close()

    server = await asyncio.start_server(lead, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def chromium(directory: Path, page: str, names: dict[str, int]) -> AsyncIterator[None]:
    """Have it open a page, until the block ends. `directory` is its profile's; `names` lead to these ports of loopback."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    rules = ", ".join(f"MAP {name} 127.0.0.1:{port}" for name, port in names.items())
    process = await asyncio.create_subprocess_exec(
        *(program, *QUIET, f"--user-data-dir={directory}", f"--host-resolver-rules={rules}", page),
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
