"""AGENTS.md: which documents Codex would read for a directory, and whether they have changed since.

With deny rules in force the CLI looks for them through its sandbox helper, 90 ms of CPU a turn; so we look first, and
where there is none it is told not to look (CLI 0.147.0 to 0.169.0).
"""

from pathlib import Path

import msgspec

_NAMES = ("AGENTS.override.md", "AGENTS.md")


class Documents(msgspec.Struct, frozen=True):
    """What is there: (path, mtime in ns) each. Equal values mean that a thread started earlier has read the same."""

    project: tuple[tuple[str, int], ...]  # from the git root down to the working directory
    user: tuple[tuple[str, int], ...]  # in CODEX_HOME


def look(cwd: Path, codex_home: Path, more_names: tuple[str, ...] = ()) -> Documents:
    """Look from `cwd` up to its git root (only in `cwd` where there is none), and in CODEX_HOME.

    `more_names` is what the user's project_doc_fallback_filenames adds.
    """
    names = (*_NAMES, *more_names)
    upwards = [cwd, *cwd.parents]
    roots = [index for index, directory in enumerate(upwards) if (directory / ".git").exists()]
    searched = upwards[: roots[0] + 1] if roots else [cwd]
    return Documents(project=_found(searched[::-1], names), user=_found([codex_home], _NAMES))


def _found(directories: list[Path], names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    found = []
    for directory in directories:
        for name in names:
            try:
                found.append((str(directory / name), (directory / name).stat().st_mtime_ns))
            except OSError:  # not there, or not ours to see
                continue
    return tuple(found)
