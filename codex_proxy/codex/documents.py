"""AGENTS.md: a project's instructions to the agent, and whether the user's own have changed.

A project's files are read here rather than by Codex: newer versions skip those of an untrusted directory, as every workspace
is (0.163.0, 0.169.0), and with deny rules in force the CLI reads through its sandbox helper, which costs 90 ms of CPU per
turn. We read outside any sandbox, so only files that certainly lie in the project and are not hidden from commands.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from codex_proxy.whole_file import Version, version

_NAMES = ("AGENTS.override.md", "AGENTS.md")
_Shows = Callable[[str], bool]
_PASS = getattr(os, "O_PATH", os.O_RDONLY)  # O_PATH also opens a directory that may be entered but not read
_AT_MOST = 32 * 1024  # bytes of all files together, the default of Codex's project_doc_max_bytes


def project_text(cwd: Path, more_names: tuple[str, ...] = (), shows: _Shows = lambda _: True) -> str:
    """The documents from the git root down to `cwd`, one per directory; "" for none. Without a git root, only that of `cwd`.

    `more_names` come from the user's project_doc_fallback_filenames; `shows` says whether commands may read a real path.
    """
    left, texts = _AT_MOST, []
    upwards = [cwd, *cwd.parents]
    root = next((index for index, directory in enumerate(upwards) if os.path.exists(directory / ".git")), 0)
    for directory in reversed(upwards[: root + 1]):
        found = next(_read_all(directory, (*_NAMES, *more_names), upwards[root].resolve(), shows, left), b"")
        left -= len(found)
        texts.append(found.decode(errors="replace").strip())
    return "\n\n".join(filter(None, texts))


def as_told(text: str, cwd: Path) -> str:
    """A project's documents in the form in which Codex passes them to the model."""
    return f"# AGENTS.md instructions for {cwd}\n\n<INSTRUCTIONS>\n{text}\n</INSTRUCTIONS>"


def user_versions(codex_home: Path) -> tuple[Version | None, ...]:
    """Versions of the user's own documents, which Codex reads. A thread started when they were equal has read the same text."""
    return tuple(version(codex_home / name) for name in _NAMES)


def _read_all(directory: Path, names: Iterable[str], root: Path, shows: _Shows, limit: int) -> Iterator[bytes]:
    for name in names:
        try:
            content = _read(directory / name, root, shows, limit)
        except (OSError, RuntimeError):  # missing, unreadable, or a link to itself
            continue
        if content is not None:
            yield content


def _read(file: Path, root: Path, shows: _Shows, limit: int) -> bytes | None:
    """The first `limit` bytes of a regular file; None for other files, outside the root or hidden. Raises OSError."""
    real = file.resolve(strict=True)
    if not real.is_file() or not real.is_relative_to(root) or not shows(str(real)):
        return None
    with open(_opened(real), "rb") as stream:
        return stream.read(limit) if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) else None


def _opened(real: Path) -> int:
    """Open the file at a real path, following no link that a command may have put there since. Raises OSError."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open("/", _PASS | flags)
    try:
        for name in real.parts[1:-1]:
            inner = os.open(name, _PASS | os.O_DIRECTORY | flags, dir_fd=directory)
            os.close(directory)
            directory = inner
        return os.open(real.name, os.O_RDONLY | os.O_NONBLOCK | flags, dir_fd=directory)
    finally:
        os.close(directory)
