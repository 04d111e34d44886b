"""The C allocator: blocks of the size of a body go back to the system as soon as they are freed.

By default glibc raises its threshold with each large block that is freed, up to 32 MB, and keeps what is below it: after a few
large bodies the process stays as large as it ever was.
"""

import contextlib
import ctypes
import sys

_M_MMAP_THRESHOLD = -3
_LARGE = 128 * 1024  # bytes; glibc's own threshold at the start


def give_back_large_blocks() -> None:
    """For the whole process. Does nothing where the C library is not glibc."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # musl has no mallopt
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
