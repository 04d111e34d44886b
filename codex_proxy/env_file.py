"""The env file: where it is, and what stands in it. Only `settings.py` reads it."""

import stat
from collections.abc import Mapping
from pathlib import Path

import dotenv

from codex_proxy.settings_values import existing_file

NAMED_BY = "CODEX_ENV_FILE"


def find(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The file that CODEX_ENV_FILE names, else .env in `cwd`, if there is one. Raises ValueError."""
    if named := environ.get(NAMED_BY):
        try:
            return existing_file(named, cwd)
        except ValueError as error:
            raise ValueError(f"{NAMED_BY}={named} is not valid: {error}.") from error
    usual = cwd / ".env"
    return usual if usual.is_file() else None


def read(file: Path) -> dict[str, str]:
    """Its values. Raises ValueError when somebody else could have written it, or it cannot be read."""
    try:
        if others_may_write(file):
            raise ValueError(refusal(file))
        values = dotenv.dotenv_values(file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {error}.") from error
    return {name: value for name, value in values.items() if value is not None}


def others_may_write(file: Path) -> bool:
    """Raises OSError when there is no such file."""
    return bool(file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def refusal(file: Path) -> str:
    """What to tell of a file that others may write."""
    return f"{file} may be written by others than its owner: refused. Run: chmod go-w {file}"
