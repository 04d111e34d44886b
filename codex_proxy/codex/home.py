"""CODEX_HOME and what else commands must not read or talk to: the deny rules of the permission profile.

Deny rules hold in read-only and workspace-write mode. danger-full-access drops them: then only another uid protects.
"""

import os
from pathlib import Path

from codex_proxy.codex import profile
from codex_proxy.settings import Settings, SettingsError

_SECRET_PLACES = (".codex", ".ssh", ".aws", ".config/gcloud", ".netrc")
_DOORS = ("docker.sock", "containerd/containerd.sock", "podman/podman.sock", "user/{uid}")  # in /run: who talks to one is out
_STORE_SUFFIXES = ("", "-wal", "-shm")  # what SQLite has not copied into the file yet is beside it


def codex_home(settings: Settings) -> Path:
    """The directory that the CLI uses as CODEX_HOME."""
    return (settings.codex_home or _user_home(settings) / ".codex").resolve()


def denied_paths(settings: Settings) -> tuple[str, ...]:
    """Absolute real paths that commands may not touch, of those that exist; none with CODEX_PROTECT_SECRETS=0.

    A rule for a missing place inside a writable workspace would keep every command from starting (0.163.0).
    """
    if not settings.protect_secrets:
        return ()
    places = [codex_home(settings), *(_user_home(settings) / place for place in _SECRET_PLACES), *settings.deny_read]
    places += [place for place in (settings.env_file, settings.api_keys_file) if place is not None]
    places += [Path(f"{settings.store_file}{suffix}") for suffix in _STORE_SUFFIXES if settings.store_file is not None]
    places += profile.sources(settings)
    places += [Path("/run", door.format(uid=os.getuid())) for door in _DOORS]
    return tuple(dict.fromkeys(os.path.realpath(place) for place in places if os.path.exists(place)))


def make_directories(settings: Settings) -> None:
    """Make Codex's home and CODEX_WORKDIR where they are missing. Raises SettingsError when they cannot serve."""
    make_home(settings)
    _make(settings.workdir, "CODEX_WORKDIR", 0o755)
    if settings.sandbox != "read-only" and not os.access(settings.workdir, os.W_OK):
        raise SettingsError(
            f"CODEX_WORKDIR={settings.workdir} is not writable, but CODEX_SANDBOX_MODE={settings.sandbox} lets Codex write. "
            f"Run: chown {os.getuid()} {settings.workdir}"
        )
    for directory in (settings.workdir, *settings.workspaces):
        if hidden := [place for place in denied_paths(settings) if directory.is_relative_to(place)]:
            raise SettingsError(
                f"The workspace {directory} lies inside {hidden[0]}, which is kept from commands. "
                "Choose another CODEX_WORKDIR, or set CODEX_PROTECT_SECRETS=0."
            )


def login_stamp(settings: Settings) -> tuple[int, ...]:
    """Changes whenever somebody logs in or out, or changes the configuration."""
    files = (codex_home(settings) / name for name in ("auth.json", "config.toml"))
    return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)


def make_home(settings: Settings) -> None:
    """Make Codex's home where it is missing: the CLI does not start without. Raises SettingsError."""
    directory = codex_home(settings)
    _make(directory, "CODEX_CONFIG_DIR", 0o700)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(
            f"CODEX_CONFIG_DIR={directory} cannot be read and written. "
            f"Run: chown -R {os.getuid()} {directory} && chmod u+rwX {directory}"
        )


def _make(directory: Path, name: str, mode: int) -> None:
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{name}={directory} cannot be made: {error.strerror}. Set {name} to a directory of yours.") from error


def _user_home(settings: Settings) -> Path:
    return Path(settings.environ.get("HOME") or Path.home())
