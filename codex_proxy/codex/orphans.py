"""Orphans: what a killed warden leaves comes to us, and is ended here. Linux only.

Only for a process whose children are wardens, or others that it calls `known`: every other child is taken for an orphan. `adopt`
says that it is one.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_LIMIT = 2.0  # seconds for all of them; seen: 20 ms
_PAUSE = 0.01


class _Adoption:
    """Of this process."""

    def __init__(self) -> None:
        self.on = False
        self.starting = 0  # children whose pid is not known yet
        self.known: set[int] = set()


_adoption = _Adoption()


def adopt() -> None:
    """From now on orphans come to us."""
    if sys.platform == "linux":
        _adoption.on = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


@contextmanager
def starting() -> Iterator[None]:
    """While a child is started, and until `known` is told of it."""
    _adoption.starting += 1
    try:
        yield
    finally:
        _adoption.starting -= 1


def known(child: int) -> None:
    """A child that is no orphan."""
    _adoption.known.add(child)


def forget(child: int) -> None:
    """It has ended, and leaves nothing."""
    _adoption.known.discard(child)


async def end(warden: int) -> None:
    """A warden has ended: kill what it left, and what that leaves, until there is none. Bounded."""
    forget(warden)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LIMIT):
            while _adoption.on and (_adoption.starting or _killed_some()):  # noqa: ASYNC110  # no event tells of it
                await asyncio.sleep(_PAUSE)


def _killed_some() -> bool:
    found = [pid for pid in _children() if pid not in _adoption.known]
    for pid in found:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return bool(found)


def _children() -> set[int]:
    found: set[int] = set()
    for children in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(map(int, children.read_text().split()))
    return found
