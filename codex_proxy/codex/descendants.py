"""The descendants of a process. Linux only."""

import os
from collections.abc import Iterable


def below(pid: int) -> frozenset[int]:
    """All descendants of a process; empty where the system does not list them (macOS)."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = set(_children(waiting.pop())) - found
        found |= new
        waiting += new
    return frozenset(found)


def memory(pids: Iterable[int]) -> int:
    """Total resident memory of the processes in bytes; shared pages count once per process."""
    return sum(map(_resident_pages, pids)) * os.sysconf("SC_PAGE_SIZE")


def _children(pid: int) -> list[int]:
    """Children of all threads of a process: Linux lists a child under the thread that started it."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                found += map(int, children.read().split())
    except OSError:
        pass  # the process has ended
    return found


def _resident_pages(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1])
    except (OSError, IndexError):
        return 0
