"""The environment of a command: settings, styles for stdout and stderr, the name it was called by, short paths."""

import os
import shutil
import sys
from pathlib import Path

from codex_proxy import settings
from codex_proxy.commands.terminal import Style, style_of
from codex_proxy.settings import Settings

_NAME = "codex-proxy"


def read_settings() -> Settings:
    """Load the settings for a command other than the server; warnings go to stderr. Raises SettingsError."""
    chosen, warnings = settings.load(settings.os_environment(), Path.cwd())
    for warning in warnings:
        print(warning, file=sys.stderr)
    return chosen


def out_style() -> Style:
    return style_of(sys.stdout, settings.os_environment())


def error_style() -> Style:
    return style_of(sys.stderr, settings.os_environment())


def program() -> str:
    """Return how to call this program from here: its name if PATH finds it, else its shortest path."""
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
    """Abbreviate the home directory in a path to ~."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
