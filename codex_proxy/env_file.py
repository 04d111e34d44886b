"""Finding and reading the env file, for `settings.py` only."""

import re
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
from dotenv import parser

from codex_proxy.settings_values import existing_file

NAMED_BY = "CODEX_ENV_FILE"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Assigned(msgspec.Struct, frozen=True):
    """A value from the file and the line that assigns it."""

    value: str
    line: int


def find(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The file that CODEX_ENV_FILE names, else .env in `cwd` if it exists. Raises ValueError."""
    if named := environ.get(NAMED_BY):
        try:
            return existing_file(named, cwd)
        except ValueError as error:
            raise ValueError(f"{NAMED_BY}={named} is not valid: {error}.") from error
    usual = cwd / ".env"
    return usual if usual.is_file() else None


def read(file: Path) -> dict[str, Assigned]:
    """The assignments by name. Raises ValueError when others may write the file, it cannot be read, or a line is invalid."""
    try:
        if others_may_write(file):
            raise ValueError(refusal(file))
        with file.open(encoding="utf-8") as stream:
            bindings = list(parser.parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {error}.") from error
    found: dict[str, Assigned] = {}
    for binding in bindings:
        blank = len(binding.original.string) - len(binding.original.string.lstrip())
        line = binding.original.line + binding.original.string[:blank].count("\n")
        if binding.error or (binding.key is not None and (binding.value is None or not _NAME.fullmatch(binding.key))):
            raise ValueError(f"{file}, line {line}, is not an assignment. Write NAME=value, or start a comment with #.")
        if binding.key is not None:
            found[binding.key] = Assigned(binding.value or "", line)
    return found


def others_may_write(file: Path) -> bool:
    """Whether users other than the owner may write the file. Raises OSError when it does not exist."""
    return bool(file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def refusal(file: Path) -> str:
    """The error message for a file that others may write."""
    return f"{file} is refused: users other than its owner can write to it. Run: chmod go-w {file}"
