"""What we ask of the system for this process: that it is private, and that freed memory goes back."""

import contextlib
import ctypes
import sys

_PR_SET_DUMPABLE = 4
_M_MMAP_THRESHOLD = -3
_LARGE = 128 * 1024  # bytes; glibc's own threshold at the start


def keep_private() -> None:
    """Close memory and environment, where the keys are, to other processes of the user; root still sees them. Linux only.

    Debuggers and core dumps are shut out as well. Without it a command of Codex's in danger-full-access could read the keys in
    /proc. Children are as visible as ever, once they have begun a program of their own.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def give_back_large_blocks() -> None:
    """Have memory of the size of a body go back to the system when it is freed. Does nothing where the C library is not glibc.

    By default glibc raises its threshold with each large block that is freed, up to 32 MB, and keeps what is below it: after a
    few large bodies the process stays as large as it ever was.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # musl has no mallopt
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
