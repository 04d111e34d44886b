"""`codex-proxy init`: write a .env file after three questions, each with a default."""

import argparse
import os
import secrets
import sys
from pathlib import Path

import msgspec

from codex_proxy import settings, whole_file
from codex_proxy.ceilings import SANDBOXES
from codex_proxy.commands import place
from codex_proxy.errors import CommandFailed
from codex_proxy.roots import root_of
from codex_proxy.settings import SettingsError

_FILE = ".env"
_PREFIX = "cpx_"  # like the named keys
_NO_KEY = "none"
_SHORTEST_KEY = 8  # characters of a key that is typed: "y" or "no" is an answer to another question

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
            f"{file} already exists. Edit it (docs/ENV.md has every setting), or replace it: {place.program()} init --force"
        )
    ask = not arguments.yes and sys.stdin.isatty()
    values: dict[str, str] = {}
    for question in _questions():
        given = getattr(arguments, question.option)
        if given is None and ask:
            values |= _typed(question, file)
        else:
            values |= question.setting(given or question.default)
    _check(file, values)
    lines = [
        "# Written by codex-proxy init. docs/ENV.md has every setting.",
        *(f"{name}={value}" for name, value in values.items()),
    ]
    try:
        whole_file.put(file, "\n".join([*lines, ""]).encode())
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}.") from error
    print(_after(file, values.get("PROXY_API_KEY")))
    return 0


class Question(msgspec.Struct, frozen=True):
    """What to ask for one setting. `shown` is the default as the question names it."""

    name: str
    option: str
    text: str
    default: str
    shown: str

    def setting(self, answer: str) -> dict[str, str]:
        """Return the setting and its value; empty for no key."""
        if self.option == "key" and answer == _NO_KEY:
            return {}
        return {self.name: os.path.abspath(os.path.expanduser(answer)) if self.option == "workspace" else answer}


def _questions() -> list[Question]:
    sandboxes = " or ".join(SANDBOXES[:2])
    key = "Key that clients must send (none = open, on this machine only)"
    workspace = "Directory in which Codex works"
    return [
        Question("PROXY_API_KEY", "key", key, _PREFIX + secrets.token_urlsafe(32), "a new one"),
        Question("CODEX_WORKDIR", "workspace", workspace, "~/codex-workspace", "~/codex-workspace"),
        Question("CODEX_SANDBOX_MODE", "sandbox", f"What commands may do: {sandboxes}", SANDBOXES[0], SANDBOXES[0]),
    ]


def _typed(question: Question, file: Path) -> dict[str, str]:
    """Ask until a server would take the answer."""
    while True:
        answer = input(f"{question.text} [{question.shown}]: ").strip() or question.default
        setting = question.setting(answer)
        try:
            if question.option == "key" and setting and len(answer) < _SHORTEST_KEY:
                raise CommandFailed(f"A key needs at least {_SHORTEST_KEY} characters. Press Enter for a new one.")
            if question.option == "sandbox" and answer not in SANDBOXES[:2]:
                raise CommandFailed(f"Type {' or '.join(SANDBOXES[:2])}.")
            _check(file, setting)
        except CommandFailed as error:
            print(error)
        else:
            return setting


def _check(file: Path, values: dict[str, str]) -> None:
    """Raise CommandFailed if a server would not start with these settings in `file`."""
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


def _after(file: Path, key: str | None) -> str:
    return f"""Wrote {file}, which only you can read.

Start:    {place.program()} serve
Try:      {place.program()} chat
SDK:      from openai import OpenAI
          client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="{key or "unused"}")"""
