"""`codex-proxy keys`: manage the named keys of PROXY_API_KEYS_FILE."""

import argparse
import importlib
import os
import sys
from typing import Any

import msgspec

from codex_proxy import keys, keys_file
from codex_proxy.ceilings import SANDBOXES
from codex_proxy.commands import place
from codex_proxy.commands.terminal import table
from codex_proxy.errors import CommandNotFound, ProxyError
from codex_proxy.keys import Entry
from codex_proxy.near_misses import did_you_mean
from codex_proxy.settings import SettingsError

_HEADINGS = {"rate_limit_per_minute": "RATE", "parallel_turns": "PARALLEL"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("add", help="create a key and show it, once")
    add.add_argument("name", metavar="NAME", help="its name: letters, digits, dots, underscores, hyphens")
    add.add_argument("--rate", type=int, metavar="N", help="requests a minute (default: RATE_LIMIT_PER_MINUTE; 0 = no limit)")
    add.add_argument(
        "--parallel", type=int, metavar="N", help="concurrent turns; further ones wait (default: all but one of the server's)"
    )
    add.add_argument("--model", action="append", metavar="ID", help="a model that it may use; can be repeated (default: all)")
    add.add_argument("--sandbox", metavar="MODE", help=f"the widest sandbox: {', '.join(SANDBOXES)} (default: the server's)")
    add.add_argument("--danger", action="store_true", help="may ask for danger-full-access, where the server allows it")
    add.add_argument("--no-network", action="store_true", help="no network, even if the server allows it in workspace-write")
    add.add_argument(
        "--workspace", action="append", type=os.path.abspath, metavar="DIR", help="a directory that it may use; can be repeated"
    )
    add.add_argument("--operator", action="store_true", help="can see and stop everyone's turns, not only its own")
    add.set_defaults(command=_add)
    listing = commands.add_parser("list", help="list the keys and what each may do")
    listing.add_argument("--json", action="store_true", help="as a JSON object, by name")
    listing.set_defaults(command=_list)
    revoke = commands.add_parser("revoke", help="remove a key: its next request is refused")
    revoke.add_argument("name", metavar="NAME", help="the name of the key")
    revoke.set_defaults(command=_revoke)


def run(arguments: argparse.Namespace) -> int:
    code: int = arguments.command(arguments)
    return code


def _add(arguments: argparse.Namespace) -> int:
    limits = Entry(
        sha256="",
        rate_limit_per_minute=arguments.rate,
        parallel_turns=arguments.parallel,
        models=tuple(arguments.model or ()),
        sandbox=arguments.sandbox,
        danger=arguments.danger,
        network=not arguments.no_network,
        workspaces=tuple(arguments.workspace or ()),
        operator=arguments.operator,
    )
    if limits.models:
        _warn_of_unknown(limits.models)
    token = keys_file.add(place.read_settings(), arguments.name, limits)
    print(
        f"This is the key of {arguments.name}. It is not shown again. A server started with this keys file accepts it at once.",
        file=sys.stderr,
    )
    print(token)
    return 0


def _warn_of_unknown(models: tuple[str, ...]) -> None:
    """Say which models the installed CLI does not know: a key with no other model can do nothing."""
    command = importlib.import_module("codex_proxy.commands.models")  # with the CLI's machinery, which no other key needs
    try:
        known = [model.id for model in command.of_the_cli().models]
    except (CommandNotFound, SettingsError, ProxyError) as error:
        print(f"Whether the models exist could not be checked: {error}", file=sys.stderr)
        return
    for model in models:
        if model not in known:
            meant = did_you_mean(model, known)
            print(f"Warning: there is no model {model!r}.{meant} Models: {', '.join(known)}", file=sys.stderr)


def _list(arguments: argparse.Namespace) -> int:
    found = keys.entries(keys_file.file_of(place.read_settings()))
    limits = [member for member in Entry.__struct_fields__ if member != "sha256"]
    if arguments.json:
        told = {name: {member: getattr(entry, member) for member in limits} for name, entry in found.items()}
        print(msgspec.json.encode(told).decode())
    elif not found:
        print(f"There are no keys yet. Create one: {place.program()} keys add NAME", file=sys.stderr)
    else:
        header = ["NAME", *(_HEADINGS.get(member, member.upper().replace("_", " ")) for member in limits)]
        rows = [[name, *(_shown(getattr(entry, member)) for member in limits)] for name, entry in found.items()]
        print(table(header, rows, place.out_style()))
    return 0


def _shown(value: Any) -> str:  # Any: the members of a key differ in type
    match value:
        case None:
            return "server's"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(map(str, value)) or "all"
        case _:
            return str(value)


def _revoke(arguments: argparse.Namespace) -> int:
    keys_file.revoke(place.read_settings(), arguments.name)
    print(f"The key of {arguments.name} is revoked. A server started with this keys file refuses it from now on.", file=sys.stderr)
    return 0
