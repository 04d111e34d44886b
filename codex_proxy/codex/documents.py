"""AGENTS.md: what a project tells the agent, and whether the user's own has changed.

A project's are read here and not by Codex: newer ones leave out those of a directory that is marked untrusted, as every
workspace is (0.163.0, 0.169.0), and with deny rules in force the CLI reads through its sandbox helper, 90 ms of CPU a
turn. We read outside of every sandbox, so only what certainly lies in the project, and is not kept from commands.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from codex_proxy.whole_file import Version, version

_NAMES = ("AGENTS.override.md", "AGENTS.md")
_Shows = Callable[[str], bool]
_PASS = getattr(os, "O_PATH", os.O_RDONLY)  # a directory that may be entered and not read
_AT_MOST = 32 * 1024  # bytes of all together, as Codex's project_doc_max_bytes has it


def project_text(cwd: Path, more_names: tuple[str, ...] = (), shows: _Shows = lambda _: True) -> str:
    """The documents from the git root down to `cwd` (only of `cwd` where there is no root), one of each directory; "" for none.

    `more_names` is what the user's project_doc_fallback_filenames adds; `shows` says whether commands may read a real path.
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
    """A project's documents in the words that Codex has for them."""
    return f"# AGENTS.md instructions for {cwd}\n\n<INSTRUCTIONS>\n{text}\n</INSTRUCTIONS>"


def user_versions(codex_home: Path) -> tuple[Version | None, ...]:
    """Of the user's own, which Codex reads. Equal ones: a thread that was started earlier has read the same."""
    return tuple(version(codex_home / name) for name in _NAMES)


def _read_all(directory: Path, names: Iterable[str], root: Path, shows: _Shows, limit: int) -> Iterator[bytes]:
    for name in names:
        try:
            content = _read(directory / name, root, shows, limit)
        except (OSError, RuntimeError):  # not there, not ours to see, a link to itself
            continue
        if content is not None:
            yield content


def _read(file: Path, root: Path, shows: _Shows, limit: int) -> bytes | None:
    """The beginning of a regular file; None when a link leads out of the root. Raises OSError."""
    real = file.resolve(strict=True)
    if not real.is_file() or not real.is_relative_to(root) or not shows(str(real)):
        return None
    with open(_opened(real), "rb") as stream:
        return stream.read(limit) if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) else None


def _opened(real: Path) -> int:
    """The file at a real path, with no link on the way, whatever a command has put there meanwhile. Raises OSError."""
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
