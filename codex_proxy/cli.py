"""The command line: finds the module of the command in argv. It imports no other module, so that help is fast.

Exit codes are those of `commands/running.py`; 2 means that there is no such command.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from codex_proxy import __version__

_UNKNOWN = 2


class Command(NamedTuple):
    """A command, implemented in codex_proxy.commands.<module>."""

    name: str
    module: str
    help: str


GROUPS: tuple[tuple[str, tuple[Command, ...]], ...] = (
    (
        "Start",
        (
            Command("init", "init", "write a .env file after three questions"),
            Command("login", "login", "log in to Codex"),
            Command("serve", "serve", "serve the API until Ctrl-C or SIGTERM; --demo needs no login"),
            Command("doctor", "doctor", "check whether the server can run here, and say what to do if not"),
            Command("service", "service", "install, remove or show the systemd service"),
        ),
    ),
    (
        "Use",
        (
            Command("chat", "chat", "talk to Codex through a running server"),
            Command("client", "client", "print the configuration of a client: aider, continue, zed, …"),
            Command("models", "models", "list the models"),
            Command("status", "status", "show what a running server is doing"),
            Command("smoke", "smoke", "check a running server end to end"),
        ),
    ),
    (
        "Manage",
        (
            Command("keys", "keys", "add, list and revoke named keys"),
            Command("codex", "codex", "run the Codex CLI that the server uses, with its home"),
        ),
    ),
)
COMMANDS = {command.name: command for _, group in GROUPS for command in group}
_HELP = ("help", "-h", "--help")
_VERSION = ("version", "-V", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    helped = words[:1] == ["help"] and len(words) > 1
    if helped:  # help COMMAND means COMMAND --help
        words = [*words[1:], "--help"]
    if not words:
        _print_help(sys.stderr)
        return _UNKNOWN
    name, *rest = words
    if name in _HELP:
        _print_help(sys.stdout)
        return 0
    if name in _VERSION:
        print(f"codex-proxy {__version__}")
        return 0
    if name not in COMMANDS:
        return _refuse(name)
    running = importlib.import_module("codex_proxy.commands.running")
    code: int = running.run(COMMANDS[name].module, f"codex-proxy {name}", COMMANDS[name].help, rest, helped=helped)
    return code


def _print_help(out: TextIO) -> None:
    lines = ["codex-proxy: the Codex CLI, an agent with a sandbox, behind the OpenAI API", ""]
    lines += ["Usage: codex-proxy COMMAND [OPTIONS]", ""]
    for title, group in GROUPS:
        lines += [title, *(f"  {command.name:9} {command.help}" for command in group), ""]
    lines += ["codex-proxy help COMMAND explains one; codex-proxy version prints the version.", "Settings: docs/ENV.md"]
    print("\n".join(lines), file=out)


def _refuse(name: str) -> int:
    nearest = importlib.import_module("codex_proxy.near_misses")
    if name.startswith("-"):
        meant = f" An option goes after a command: codex-proxy serve {name}"
    else:
        meant = nearest.did_you_mean(name, (*COMMANDS, "help", "version"), prefix="codex-proxy ")
    print(f"codex-proxy has no command {name!r}.{meant}\nAll commands: codex-proxy help", file=sys.stderr)
    return _UNKNOWN
