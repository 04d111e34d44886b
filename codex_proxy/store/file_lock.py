"""Locks beside a file, which the kernel releases when their process dies, however it dies.

One tells whether another process has the file open, so that after a crash a lone instance knows at once that it is alone. One per
holder tells whether the holder's process exists, even if it is stopped or was asleep.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a shared lock beside `path` until the block ends; yields True if nobody else held one. Raises OSError."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
            for left_behind in path.parent.glob(f"{path.name}.holder-*"):
                left_behind.unlink(missing_ok=True)
        except BlockingIOError:
            alone = False
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield alone
    finally:
        os.close(descriptor)


class HolderLocks:
    """The locks of the holders in one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptors: dict[str, int] = {}

    def hold(self, holder: str) -> None:
        """Lock a holder until `close`; a no-op if it is locked already. Raises OSError."""
        if holder not in self._descriptors:
            descriptor = os.open(self._file(holder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._descriptors[holder] = descriptor

    def held(self, holder: str) -> bool:
        """Return whether any process, including this one, has locked the holder."""
        try:
            descriptor = os.open(self._file(holder), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)

    def close(self) -> None:
        while self._descriptors:
            holder, descriptor = self._descriptors.popitem()
            with contextlib.suppress(OSError):
                self._file(holder).unlink()
            os.close(descriptor)

    def _file(self, holder: str) -> Path:
        return self._path.with_name(f"{self._path.name}.holder-{hashlib.sha256(holder.encode()).hexdigest()[:16]}")
