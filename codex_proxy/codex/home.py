"""CODEX_HOME: finding and creating it. Workers start in it, because no command can remove it."""

import os
import shutil
from pathlib import Path

from codex_proxy.settings import Settings, SettingsError
from codex_proxy.whole_file import Version, version

_LEAST_ROOM = 4 * 1024 * 1024  # bytes


def user_home(settings: Settings) -> Path:
    """The home directory that both the CLI and this server use."""
    return Path(settings.environ.get("HOME") or Path.home())


def codex_home(settings: Settings) -> Path:
    """The directory that the CLI uses as CODEX_HOME."""
    return (settings.codex_home or user_home(settings) / ".codex").resolve()


def has_room(codex_home: Path) -> bool:
    """Whether the disk has room for a conversation; False when it cannot be asked."""
    try:
        return shutil.disk_usage(codex_home).free >= _LEAST_ROOM
    except OSError:
        return False


def login_versions(settings: Settings) -> tuple[Version | None, ...]:
    """File versions that change whenever somebody logs in or out or changes the configuration."""
    return tuple(version(codex_home(settings) / name) for name in ("auth.json", "config.toml"))


def make_home(settings: Settings) -> None:
    """Create Codex's home if it is missing, because the CLI does not start without it. Raises SettingsError."""
    directory = codex_home(settings)
    make(directory, "CODEX_CONFIG_DIR", 0o700)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(
            f"CODEX_CONFIG_DIR={directory} cannot be read and written. "
            f"Run: chown -R {os.getuid()} {directory} && chmod u+rwX {directory}"
        )


def make(directory: Path, name: str, mode: int) -> None:
    """Create the directory that the setting `name` points to. Raises SettingsError."""
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{name}={directory} cannot be created: {error.strerror}. Set {name} to a directory that you own."
        ) from error
