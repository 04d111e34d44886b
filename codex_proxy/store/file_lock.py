"""Whether another process has the same file open: so that after a crash the only instance knows at once that it is alone."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a shared lock beside `path` until the block ends; yields whether nobody else held one. Raises OSError.

    The kernel lets go of it when the process dies, however it dies.
    """
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield alone
    finally:
        os.close(descriptor)
