"""What every command knows of where it runs: settings, styles of its two streams, how it was called, short paths."""

import os
import shutil
import sys
from pathlib import Path

from codex_proxy import settings
from codex_proxy.commands.terminal import Style, style_of
from codex_proxy.settings import Settings

_NAME = "codex-proxy"


def read_settings() -> Settings:
    """Those of a command that is not the server: warnings go to stderr. Raises SettingsError."""
    chosen, warnings = settings.load(settings.os_environment(), Path.cwd())
    for warning in warnings:
        print(warning, file=sys.stderr)
    return chosen


def out_style() -> Style:
    return style_of(sys.stdout, settings.os_environment())


def error_style() -> Style:
    return style_of(sys.stderr, settings.os_environment())


def program() -> str:
    """How to call this program from here: its name where PATH finds it, else its path as short as it can be."""
    called = Path(sys.argv[0])
    found = shutil.which(_NAME)
    if called.name != _NAME or (found and os.path.realpath(found) == os.path.realpath(called)):
        return _NAME
    absolute = called.absolute()
    try:
        return str(absolute.relative_to(Path.cwd()))
    except ValueError:
        return str(absolute)


def short(path: Path) -> str:
    """A path with ~ for the home directory."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
