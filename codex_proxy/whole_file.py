"""Replace files atomically, so that nobody reads a partial one, read regular ones only, and detect changes of files."""

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

Version = tuple[int, int, int]


def version(file: Path | str) -> Version | None:
    """A value that changes with a file or with a directory's entries; None when it does not exist or is inaccessible."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def opened(file: Path) -> BinaryIO:
    """Open a file to read it. No link is followed, and nobody waited for, like the writer of a FIFO. Raises OSError."""
    number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "not a regular file", str(file))
    return os.fdopen(number, "rb")


def put(file: Path, content: bytes, like: os.stat_result | None = None) -> None:
    """Write a file atomically, replacing what is there; a link is replaced, not followed. Raises OSError.

    The file is readable only by its owner, or gets the owner and mode of `like`, so that root can change a file that a server reads
    as another user.
    """
    number, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    new = Path(name)
    try:
        with open(number, "wb") as stream:
            if like is not None:
                _take_after(number, like)
            stream.write(content)
            stream.flush()
            os.fsync(number)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _take_after(number: int, like: os.stat_result) -> None:
    os.fchmod(number, stat.S_IMODE(like.st_mode))
    with contextlib.suppress(PermissionError):
        os.fchown(number, like.st_uid, like.st_gid)
