"""Starting `child` as a process of its own."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.store import child

_START_LIMIT = 30.0  # seconds for a Python to start: the machines are noisy


@asynccontextmanager
async def child_process(way: Callable[..., object], place: Path | str, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    argv = (sys.executable, "-m", child.__name__, way.__name__, str(place), name)
    process = await asyncio.create_subprocess_exec(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(_START_LIMIT):
        return (await process.stdout.readline()).decode().strip()
