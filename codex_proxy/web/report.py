"""Reports to systemd while the server runs: a status for `systemctl status`, and that nothing hangs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from codex_proxy.tasks import see_out, spawn
from codex_proxy.web.server import Server


@asynccontextmanager
async def reporting(server: Server) -> AsyncIterator[None]:
    """Report until the block ends."""
    task = spawn("report to systemd", server.systemd.report(lambda: _status(server), lambda: _stuck(server)))
    try:
        yield
    finally:
        await see_out(task)


def _status(server: Server) -> str:
    running, most, waiting = server.supervisors.running, server.settings.max_parallel, server.jobs.waiting
    return f"{server.trouble() or 'ready'}; turns: {running} of {most} running, {waiting} waiting"


def _stuck(server: Server) -> str | None:
    return "a supervisor hangs" if server.supervisors.hanging else None
