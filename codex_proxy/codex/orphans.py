"""Adopt and kill the processes that a killed warden leaves behind. Linux only.

For a process that calls `adopt`, every child counts as an orphan except wardens and others that it has passed to `known`.
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
_LIMIT = 2.0  # seconds for all of them; it usually takes 20 ms
_PAUSE = 0.01  # seconds


class _Adoption:
    """What this process has adopted, and the children that are no orphans."""

    def __init__(self) -> None:
        self.on = False
        self.starting = 0  # children whose pid is not known yet
        self.known: set[int] = set()


_adoption = _Adoption()


def adopt() -> None:
    """Make this process the parent of its orphaned descendants from now on."""
    if sys.platform == "linux":
        _adoption.on = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


@contextmanager
def starting() -> Iterator[None]:
    """Hold off the search for orphans while a child is started, until its pid is passed to `known`."""
    _adoption.starting += 1
    try:
        yield
    finally:
        _adoption.starting -= 1


def known(child: int) -> None:
    """Register a child that is no orphan."""
    _adoption.known.add(child)


def forget(child: int) -> None:
    """Forget a child that has ended and left nothing behind."""
    _adoption.known.discard(child)


async def end(warden: int) -> None:
    """Kill what a warden that has ended left behind, and what that leaves behind in turn. Takes at most two seconds."""
    forget(warden)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LIMIT):
            while _adoption.on and (_adoption.starting or _killed_some()):  # noqa: ASYNC110  # no event announces it
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
