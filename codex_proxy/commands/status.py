"""`codex-proxy status`: whether a running server can run turns, and the turns it is running. It reads GET /x_codex/status."""

import argparse
import sys
import time
from typing import Any

import msgspec

from codex_proxy.commands import api, place
from codex_proxy.commands.api import Json
from codex_proxy.commands.chat_view import clean
from codex_proxy.commands.running import BROKE
from codex_proxy.commands.terminal import Style, columns, fitted, table

_EVERY = 1.0  # seconds
_HOME_AND_CLEAR = "\x1b[H\x1b[J"
_ACCOUNTS = {"chatgpt": "ChatGPT", "apiKey": "an API key"}
_HEADER = ("KEY", "MODEL", "MODE", "SANDBOX", "TIME", "DOING")

EPILOG = "The exit code is 1 if no turn could run now."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-w", "--watch", action="store_true", help="refresh every second, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="as the server tells it, one JSON object a line")
    api.add_server_options(parser)


def run(arguments: argparse.Namespace) -> int:
    server, style = api.server(arguments), place.out_style()
    before = _HOME_AND_CLEAR if arguments.watch and not arguments.json and sys.stdout.isatty() else ""
    answered = False
    while True:
        try:
            told = server.get("/x_codex/status", beside=True)
        except api.Unreachable as error:
            if not (arguments.watch and answered):
                raise
            print(f"{before}{error}", file=sys.stdout if before else sys.stderr, flush=True)  # it may be restarting
        else:
            answered = True
            text = msgspec.json.encode(told).decode() if arguments.json else "\n".join(screen(told, server.address, style))
            print(before + text, flush=True)
            if not arguments.watch:
                return 0 if told["ready"] else BROKE
        time.sleep(_EVERY)


def screen(told: Json, address: str, style: Style) -> list[str]:
    """Format the server's status for a person."""
    state = style.good("● Ready") if told["ready"] else style.bad(f"○ Not ready: {told['reason']}")
    up = duration(told["now"] - told["started_at"])
    workers, queue = told["workers"], told["queue"]
    rows = [
        ("Server", f"{address}, codex-proxy {told['version']}, up {up}"),
        ("Codex", f"{told['cli_version']}, {_login(told['login'])}, {_processes(workers)}"),
        ("Turns", f"{workers['busy']} of {workers['parallel']} running, {queue['waiting']} of {queue['limit']} waiting"),
    ]
    lines = [state, "", *(f"{style.dim(label.ljust(8))} {text}" for label, text in rows), ""]
    if not told["turns"]:
        return [*lines, style.dim("No turn is running.")]
    return [*lines, *table(_HEADER, [_turn(turn, told["now"]) for turn in told["turns"]], style).splitlines()]


def _login(login: Json | None) -> str:
    if login is None:
        return "not started yet"
    provider = [f"provider {login['provider']}"] if login["provider"] else []  # told to the operator alone
    if not login["usable"]:
        return ", ".join([*provider, f"not logged in (run: {place.program()} login)"])
    if not login["account"]:
        return ", ".join(provider) or "no login needed"
    plan = f" ({login['plan']})" if login["plan"] else ""
    return ", ".join([*provider, f"logged in with {_ACCOUNTS.get(login['account'], login['account'])}{plan}"])


def _processes(workers: Json) -> str:
    """The number of CLI processes. A turn runs in one; idle ones, for either mode, are kept warm."""
    all_of_them = workers["busy"] + workers["idle"] + workers["starting"]
    starting = f" ({workers['starting']} starting)" if workers["starting"] else ""
    return f"{all_of_them} process{'' if all_of_them == 1 else 'es'}{starting}"


def _turn(turn: Json, now: float) -> tuple[str, ...]:
    began = turn["started_at"] or turn["submitted_at"]
    used = 64  # approximate columns of the other cells
    model = turn["model"] + (f" {turn['effort']}" if turn["effort"] else "")
    sandbox = (turn["sandbox"] or "none") + (" + network" if turn["network"] else "")
    return turn["key"], model, turn["mode"], sandbox, duration(now - began), fitted(_doing(turn), max(20, columns() - used))


def _doing(turn: Json) -> str:
    doing: dict[str, Any] | None = turn["doing"]
    if turn["state"] != "running" or doing is None:
        return str(turn["state"])
    text = clean(doing["text"]).replace("\n", " ")
    return f"$ {text}" if doing["kind"] == "command" else f"{doing['kind']} {text}".strip().replace("_", " ")


def duration(seconds: float) -> str:
    """Format a duration: 0:42, 1:02:03, 2 d 3 h."""
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
