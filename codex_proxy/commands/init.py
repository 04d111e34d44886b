"""`codex-proxy init`: write a .env file after three questions, each with a default."""

import argparse
import os
import secrets
import sys
from pathlib import Path

from codex_proxy import settings, whole_file
from codex_proxy.ceilings import SANDBOXES
from codex_proxy.commands import place
from codex_proxy.errors import CommandFailed
from codex_proxy.roots import root_of
from codex_proxy.settings import SettingsError

_FILE = ".env"
_PREFIX = "cpx_"  # like the named keys
_NO_KEY = "none"
_KEY_QUESTION = "Key that clients must send (none = open, on this machine only)"

EPILOG = "serve reads the file from the directory in which you start it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="take the defaults without asking")
    parser.add_argument("--key", help="PROXY_API_KEY; none = open, on this machine only (default: a new one)")
    parser.add_argument("--workspace", metavar="DIR", help="CODEX_WORKDIR, where commands run (default: ~/codex-workspace)")
    parser.add_argument("--sandbox", choices=SANDBOXES[:2], metavar="MODE", help="read-only (the default) or workspace-write")
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def run(arguments: argparse.Namespace) -> int:
    file = Path.cwd() / _FILE
    if file.exists() and not arguments.force:
        raise CommandFailed(
            f"{file} already exists. Edit it (docs/ENV.md has every setting), or replace it: codex-proxy init --force"
        )
    ask = not arguments.yes and sys.stdin.isatty()
    key = _answer(arguments.key, _KEY_QUESTION, _PREFIX + secrets.token_urlsafe(32), ask)
    workspace = _answer(arguments.workspace, "Directory in which Codex works", "~/codex-workspace", ask)
    allowed = " or ".join(SANDBOXES[:2])
    sandbox = _answer(arguments.sandbox, f"What commands may do: {allowed}", SANDBOXES[0], ask)
    lines = [
        "# Written by codex-proxy init. docs/ENV.md has every setting.",
        *([f"PROXY_API_KEY={key}"] if key != _NO_KEY else []),
        f"CODEX_WORKDIR={os.path.abspath(os.path.expanduser(workspace))}",
        f"CODEX_SANDBOX_MODE={sandbox}",
    ]
    _check(file, lines)
    whole_file.put(file, "\n".join([*lines, ""]).encode())
    print(_after(file, key))
    return 0


def _answer(given: str | None, question: str, default: str, ask: bool) -> str:
    if given is not None or not ask:
        return given or default
    shown = "a new one" if default.startswith(_PREFIX) else default
    return input(f"{question} [{shown}]: ").strip() or default


def _check(file: Path, lines: list[str]) -> None:
    """Raise CommandFailed if a server would not start with these settings in `file`."""
    values = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    if any(char in value for value in values.values() for char in "\n\r'\"#\\"):
        raise CommandFailed("A value must not contain quotes, backslashes, # or line breaks.")
    environ = {name: value for name, value in settings.os_environment().items() if name == "HOME"}
    try:
        chosen, _ = settings.load({**environ, **values}, file / "no env file")
    except SettingsError as error:
        raise CommandFailed(str(error)) from error
    if root_of(file, chosen.roots):
        raise CommandFailed(
            f"{file} would be inside the workspace {chosen.workdir}, where an agent could change it. Choose another workspace."
        )


def _after(file: Path, key: str) -> str:
    return f"""Wrote {file}, which only you can read.

Start:    {place.program()} serve
Try:      {place.program()} chat
SDK:      from openai import OpenAI
          client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="{"unused" if key == _NO_KEY else key}")"""
