"""Whole files: putting one in the place of another, so that nobody ever reads half of one, and seeing that it has happened."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

Version = tuple[int, int, int]


def version(file: Path | str) -> Version | None:
    """What tells one version of a file, or of a directory's entries, from another; None where there is none, or none to be seen."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def put(file: Path, content: bytes, like: os.stat_result | None = None) -> None:
    """Readable by us alone, or with the owner and mode of another file: root may change what a server reads as somebody else.

    A link in its place is replaced, not followed. Raises OSError.
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
