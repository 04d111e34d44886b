"""Process settings: keep this process private, and return freed memory to the system."""

import contextlib
import ctypes
import sys

_PR_SET_DUMPABLE = 4
_M_MMAP_THRESHOLD = -3
_LARGE = 128 * 1024  # bytes; glibc's initial threshold


def keep_private() -> None:
    """Hide memory and environment, which contain keys, from the user's other processes; root still sees them. Linux only.

    This also disables debuggers and core dumps. Otherwise a command run by Codex with danger-full-access could read the keys in
    /proc. Children become visible again when they execute a program.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def give_back_large_blocks() -> None:
    """Return large blocks to the system as soon as they are freed. Does nothing where the C library is not glibc.

    By default glibc raises its threshold with each large block freed, up to 32 MB, and keeps blocks below it: after a few large
    bodies the process would stay at its peak size.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # musl has no mallopt
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
