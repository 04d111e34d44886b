"""The profile: the operator's AGENTS.md and config.toml, copied into Codex's home when the server starts.

Only files that nobody but the operator can have written are used: no links, nothing writable by others, nothing in a workspace.
The first file that a copy replaces is kept as .bak.
"""

import contextlib
import os
import stat
from pathlib import Path

import tomli

from codex_proxy import whole_file
from codex_proxy.roots import root_of
from codex_proxy.settings import Settings, SettingsError, refuse_if_others_may_write

_USUAL = Path("workspace", "codex_profile")  # in the current directory
_NAMES = {  # name in Codex's home: name in the profile, and its former name there
    "AGENTS.md": ("codex_agents.md", "agent.md"),
    "config.toml": ("codex_config.toml", "config.toml"),
}


def sources(settings: Settings) -> list[Path]:
    """The profile files that exist."""
    return [file for file in names(settings) if os.path.lexists(file)]


def names(settings: Settings) -> list[Path]:
    """All paths where a profile file may be."""
    directory = _directory(settings)
    return [directory / name for both in _NAMES.values() for name in both]


def copy(settings: Settings, codex_home: Path) -> list[str]:
    """Copy the profile files that differ, and return the messages for the operator. Raises SettingsError."""
    directory = _directory(settings)
    if settings.profile_dir is not None and not os.path.isdir(directory):
        raise SettingsError(f"CODEX_WRAPPER_PROFILE_DIR={directory} is not a directory. Create it, or unset it.")
    present = sources(settings)
    if present and (root := root_of(directory, settings.roots)):  # the default: settings.load refuses any other
        return [
            f"{directory} is not used: it lies inside the workspace {root}, so an agent could have written it. "
            "Name a directory elsewhere in CODEX_WRAPPER_PROFILE_DIR."
        ]
    told = []
    for name, (usual, old) in _NAMES.items():
        found = [directory / one for one in (usual, old) if directory / one in present]
        if directory / old in found:
            what = "is ignored, because there is also" if len(found) > 1 else "has an old name; rename it to"
            told.append(f"{directory / old} {what} {usual}.")
        if found:
            told += _copy(found[0], codex_home / name)
    return told


def _directory(settings: Settings) -> Path:
    return settings.profile_dir or _USUAL.absolute()


def _copy(source: Path, target: Path) -> list[str]:
    try:
        refuse_if_others_may_write(source.parent)
        content = _content(source)
        refuse_if_others_may_write(source)
        if target.suffix == ".toml":
            tomli.loads(content.decode())
        before = _content(target) if os.path.lexists(target) else None
        if content == before:
            return []
        kept = before is not None and _keep(target)
        whole_file.put(target, content)
    except OSError as error:
        raise SettingsError(f"{source} cannot be copied to {target}: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"{source} is not TOML: {error}.") from error
    return [f"{target} is now a copy of {source}.{f' The previous file is {target.name}.bak.' if kept else ''}"]


def _content(file: Path) -> bytes:
    """Content of a regular file. Raises SettingsError for a link or anything else."""
    if not stat.S_ISREG(file.lstat().st_mode):
        raise SettingsError(f"{file} is refused: it is a link, or not a regular file. Put the file itself there.")
    with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        return stream.read()


def _keep(target: Path) -> bool:
    """Link the file to its .bak name unless that exists. Returns whether it was linked."""
    with contextlib.suppress(FileExistsError):
        os.link(target, f"{target}.bak", follow_symlinks=False)
        return True
    return False
