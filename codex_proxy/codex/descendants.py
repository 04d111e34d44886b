"""The processes below another one, as Linux tells them."""

import os
from collections.abc import Iterable


def below(pid: int) -> frozenset[int]:
    """All generations of children of a process; empty where the system does not tell (macOS)."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = set(_children(waiting.pop())) - found
        found |= new
        waiting += new
    return frozenset(found)


def memory(pids: Iterable[int]) -> int:
    """Their resident memory, in bytes, shared pages counted once for each."""
    return sum(map(_resident_pages, pids)) * os.sysconf("SC_PAGE_SIZE")


def _children(pid: int) -> list[int]:
    """Of all its threads: a child belongs to the one that has started it."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                found += map(int, children.read().split())
    except OSError:
        pass  # it has ended meanwhile
    return found


def _resident_pages(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1])
    except (OSError, IndexError):
        return 0
