"""What must be left after a turn, however it ended: nothing but the warm workers, and no task, descriptor or file more."""

import asyncio
import contextlib
import itertools
import os
import re
from collections import Counter
from pathlib import Path

import msgspec

from codex_proxy import tasks
from codex_proxy.codex import warden
from codex_proxy.web.server import Server
from tests.conftest import children_of, processes_with

LIMIT = 10.0  # seconds; the machines are noisy
_PAUSES = (0.01, 0.02, 0.04, 0.08, 0.1)  # seconds between two looks: one at every process keeps the server from its work
_NUMBER = re.compile(r"\d+")


class Rest(msgspec.Struct, frozen=True):
    """All that can be left over, of a server in this process. Two of them compare equal when nothing is."""

    tasks: Counter[str]
    descriptors: Counter[str]  # by kind
    workers: int
    processes: int
    strays: list[int]
    temporary: list[str]
    waiting: int
    running: int
    bodies: int  # bytes
    ready: bool


def rest(server: Server, temporary: Path, stray: str) -> Rest:
    """What there is now. A process with `stray` in its command line is one that no worker may leave behind."""
    children = children_of(os.getpid())
    wardens = set(processes_with(warden.__file__)) & set(children)
    return Rest(
        tasks=Counter(_NUMBER.sub("N", name) for name in tasks.running()),
        descriptors=Counter(_descriptors()),
        workers=len(wardens),
        processes=len(children),
        strays=processes_with(stray),
        temporary=sorted(path.name for path in temporary.iterdir()),
        waiting=server.jobs.waiting,
        bodies=server.bodies.held,
        running=server.supervisors.running,
        ready=server.supervisors.ready,
    )


async def quiesced(server: Server, temporary: Path, stray: str, before: Rest) -> None:
    """Wait until there is as much as there was before. Fails with what is different."""
    now = rest(server, temporary, stray)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT):
            pauses = itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1]))
            while (now := rest(server, temporary, stray)) != before:
                await asyncio.sleep(next(pauses))
    there, then = msgspec.structs.asdict(now), msgspec.structs.asdict(before)
    left = {name: (then[name], there[name]) for name in there if there[name] != then[name]}
    assert not left, f"what there was before and what there is now: {left}"


def _descriptors() -> list[str]:
    kinds = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            kinds.append(target if target.startswith("/") else target.partition(":")[0])
    return kinds
