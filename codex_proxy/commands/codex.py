"""`codex-proxy codex …`: run the same Codex CLI that the server uses, with the same home."""

import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

from codex_proxy.codex import command, home
from codex_proxy.commands import place

EPILOG = "Example: codex-proxy codex login status"
PASSES_ON = True  # argparse would take --help for itself


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments for the Codex CLI")


def run(arguments: argparse.Namespace) -> int:
    become(arguments.arguments)


def become(words: Sequence[str]) -> NoReturn:
    """Replace this process with the Codex CLI and these arguments. Raises SettingsError, CommandNotFound."""
    chosen = place.read_settings()
    home.make_home(chosen)
    path = command.find(chosen).path
    os.execve(path, [path, *words], {**chosen.environ, "CODEX_HOME": str(home.codex_home(chosen))})
