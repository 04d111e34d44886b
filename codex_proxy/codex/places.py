"""The paths that the server and its turns use, created and checked before anything starts.

Nothing that the server executes or trusts may lie where a command can write, because the next start would run it outside any
sandbox. `ours` is the one list of such paths.
"""

import contextlib
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

import codex_proxy
from codex_proxy.codex import command, hidden, home
from codex_proxy.errors import CommandNotFound
from codex_proxy.roots import root_of
from codex_proxy.settings import Settings, SettingsError

_log = logging.getLogger(__name__)


def make_directories(settings: Settings) -> None:
    """Create Codex's home and CODEX_WORKDIR if they are missing. Raises SettingsError when they cannot be used."""
    home.make_home(settings)
    home.make(settings.workdir, "CODEX_WORKDIR", 0o755)
    for root in settings.roots:
        _open_again(root)
    if settings.sandbox != "read-only" and not os.access(settings.workdir, os.W_OK):
        raise SettingsError(
            f"CODEX_WORKDIR={settings.workdir} is not writable, but CODEX_SANDBOX_MODE={settings.sandbox} lets Codex write. "
            f"Run: chown {os.getuid()} {settings.workdir}"
        )
    if problems := [*_in_hidden_places(settings), *_within_reach_of_commands(settings)]:
        raise SettingsError("\n".join(problems))


@contextmanager
def stand_ins(chosen: Settings) -> Iterator[Settings]:
    """The settings, with temporary directories in place of a home and a workspace that do not exist yet."""
    with tempfile.TemporaryDirectory(prefix="codex-proxy-", ignore_cleanup_errors=True) as name:
        changes: dict[str, Path] = {}
        for member, place in (("codex_home", home.codex_home(chosen)), ("workdir", chosen.workdir)):
            if not place.exists():
                changes[member] = Path(name).resolve() / member
                changes[member].mkdir(mode=0o700)
        yield msgspec.structs.replace(chosen, **changes)


def _open_again(root: Path) -> None:
    """Restore the owner's permissions on a workspace: if a command removed them, the server would not start again."""
    with contextlib.suppress(OSError):
        found = root.stat()
        if found.st_uid == os.geteuid() and found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            root.chmod(stat.S_IMODE(found.st_mode) | stat.S_IRWXU)
            _log.warning("%s had lost its owner's permissions; they are restored", root)


def ours(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Everything that the server, or the CLI outside its sandbox, executes or trusts: a description and the path of each."""
    yield "codex-proxy's own code", Path(codex_proxy.__file__).parent
    yield from (("the Python interpreter", Path(place)) for place in (sys.executable, sys.prefix, sys.base_prefix))
    yield from (("a directory of Python modules", Path(place)) for place in sys.path if place)
    with contextlib.suppress(CommandNotFound):
        yield "the Codex CLI", Path(command.locate(settings))
    yield from (("a directory of PATH", Path(place)) for place in settings.environ.get("PATH", "").split(os.pathsep) if place)
    yield "CODEX_HOME", home.codex_home(settings)
    yield "the home directory", home.user_home(settings)
    if settings.store_file is not None:
        yield "the store", settings.store_file
    for name, place in (("keys file", settings.api_keys_file), ("env file", settings.env_file)):
        if place is not None:
            yield f"the {name}", place


def _within_reach_of_commands(settings: Settings) -> Iterator[str]:
    if not settings.commands_write:
        return
    told = set()
    for what, place in ours(settings):
        if (root := root_of(place, settings.roots)) and what not in told:
            told.add(what)
            yield (
                f"{place}, {what}, lies inside the workspace {root}: a command could change it, and the server would use that. "
                "Move it, choose another CODEX_WORKDIR, or set CODEX_SANDBOX_CEILING=read-only."
            )


def _in_hidden_places(settings: Settings) -> Iterator[str]:
    """Problems with workspaces inside hidden paths, and with hidden paths too deep inside a workspace to stay hidden."""
    if not settings.protect_secrets:
        return
    for secret in hidden.secrets(settings):
        for root in settings.roots:
            if root.is_relative_to(secret):
                yield (
                    f"The workspace {root} lies inside {secret}, which is kept from commands. "
                    "Choose another CODEX_WORKDIR, or set CODEX_PROTECT_SECRETS=0."
                )
            elif settings.commands_write and secret.is_relative_to(root) and secret.parent != root:
                yield (
                    f"{secret} is kept from commands, but lies below a directory of the workspace {root}, which they can rename. "
                    f"Name {root / secret.relative_to(root).parts[0]} in CODEX_DENY_READ, or move it."
                )
