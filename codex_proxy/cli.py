"""The command line: argv -> settings -> web.app. The only place that knows exit codes.

0: ended as asked. 1: broke while it ran. 2: could not start, with one sentence that says why and what to do.
"""

import argparse
import asyncio
import faulthandler
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from codex_proxy import __version__, doctor, keys_file, logs, privacy, settings, systemd
from codex_proxy.codex import command, home, profile
from codex_proxy.codex.worker import Worker
from codex_proxy.demo import script
from codex_proxy.demo.home import prepared
from codex_proxy.demo.model import ModelServer
from codex_proxy.errors import CommandNotFound, StorageFull, StoreUnavailable, WorkerFailed
from codex_proxy.keys import Entry
from codex_proxy.settings import SANDBOXES, Settings, SettingsError
from codex_proxy.web import app

_log = logging.getLogger(__name__)

_BROKE, _NOT_STARTED = 1, 2
_NOT_IN_A_DEMO = (
    *("CODEX_HOME", "CODEX_WRAPPER_PROFILE_DIR", "CODEX_WORKSPACES", "CODEX_LOCAL_ONLY", "CODEX_EXTRA_MODELS"),
    "OPENAI_API_KEY",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = asyncio.run(arguments.run(arguments))
        return code
    except (SettingsError, CommandNotFound) as error:
        print(error, file=sys.stderr)
        return _NOT_STARTED
    except (StoreUnavailable, StorageFull) as error:
        print(f"{error} {error.detail} Set PROXY_STORE.", file=sys.stderr)
        return _NOT_STARTED
    except WorkerFailed as error:
        print(f"{error} {error.detail}", file=sys.stderr)
        return _BROKE
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codex-proxy",
        description="The Codex CLI, an agent with a sandbox, behind the OpenAI API. Settings: see README.md.",
    )
    parser.add_argument("--version", action="version", version=f"codex-proxy {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the API until SIGTERM or Ctrl-C")
    serve.add_argument("--host", help="where to listen (PROXY_HOST, default 127.0.0.1)")
    serve.add_argument("--port", help="where to listen (PROXY_PORT, default 8000; 0 = any free port)")
    serve.add_argument("--demo", action="store_true", help="a built-in offline model, a home and a workspace of its own; no login")
    serve.set_defaults(run=_serve)
    doctor = commands.add_parser("doctor", help="say whether the server could serve here, and what to do where it could not")
    doctor.add_argument("--json", action="store_true", help="the findings as a JSON array")
    doctor.set_defaults(run=_doctor)
    models = commands.add_parser("models", help="list the model names that a request may use")
    models.set_defaults(run=_models)
    codex = commands.add_parser(
        "codex", help="run the Codex CLI that the server uses, with its CODEX_HOME: codex-proxy codex login"
    )
    codex.add_argument("arguments", nargs=argparse.REMAINDER, help="what the Codex CLI is given")
    codex.set_defaults(run=_codex)
    _add_keys(commands.add_parser("keys", help="make, list and revoke the named keys of PROXY_API_KEYS_FILE"))
    return parser


def _add_keys(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("add", help="make a key and print it, this once")
    add.add_argument("name", help="whose it is: letters, digits, dots, underscores, hyphens")
    add.add_argument("--rate", type=int, metavar="N", help="requests a minute (default: RATE_LIMIT_PER_MINUTE; 0 = no limit)")
    add.add_argument(
        "--parallel", type=int, metavar="N", help="turns at once; more of them wait (default: all that the server runs)"
    )
    add.add_argument("--model", action="append", metavar="ID", help="a model that it may use; can be repeated (default: all)")
    add.add_argument("--sandbox", metavar="MODE", help=f"the highest: {', '.join(SANDBOXES)} (default: the server's)")
    add.add_argument("--danger", action="store_true", help="may ask for danger-full-access, where the server allows it")
    add.add_argument("--no-network", action="store_true", help="no network, even where the server gives it to workspace-write")
    add.add_argument(
        "--workspace", action="append", type=os.path.abspath, metavar="DIR", help="a directory that it may use; can be repeated"
    )
    add.add_argument("--operator", action="store_true", help="sees and stops everybody's turns, not only its own")
    add.set_defaults(run=_add_key)
    listing = commands.add_parser("list", help="list the keys by name, and what each may do")
    listing.set_defaults(run=_list_keys)
    revoke = commands.add_parser("revoke", help="take a key out: its next request is refused")
    revoke.add_argument("name")
    revoke.set_defaults(run=_revoke_key)


async def _serve(arguments: argparse.Namespace) -> int:
    privacy.keep_private()
    faulthandler.enable()  # a watchdog's SIGABRT shows in the log where the program hangs
    flags = {"PROXY_HOST": arguments.host, "PROXY_PORT": arguments.port}
    environ = settings.os_environment() | {name: value for name, value in flags.items() if value is not None}
    sockets = _passed_sockets(environ)
    environ |= _where(sockets)
    if not arguments.demo:
        chosen, warnings = settings.load(environ, Path.cwd())
        home.make_home(chosen)
        warnings += profile.copy(chosen, home.codex_home(chosen))
        return await _serve_with(chosen, warnings, _say_address, sockets)
    async with ModelServer.started(script.script) as model:
        with prepared(model.base_url) as demo:
            kept = {name: value for name, value in environ.items() if name not in _NOT_IN_A_DEMO}
            return await _serve_with(*settings.load(kept | demo.environment(), demo.root), _say_demo, sockets)


def _passed_sockets(environ: Mapping[str, str]) -> list[socket.socket]:
    try:
        return systemd.passed_sockets(environ)
    except ValueError as error:
        raise SettingsError(f"The sockets that systemd passes cannot be used: {error}.") from error


def _where(sockets: Sequence[socket.socket]) -> dict[str, str]:
    """The settings that say where `sockets` listen, if there are any; of several the one that others can reach."""
    found = [("localhost", 0) if one.family == socket.AF_UNIX else one.getsockname()[:2] for one in sockets]
    found.sort(key=lambda address: address[0] == "localhost" or ipaddress.ip_address(address[0]).is_loopback)
    return {"PROXY_HOST": found[0][0], "PROXY_PORT": str(found[0][1])} if found else {}


async def _serve_with(
    chosen: Settings, warnings: list[str], announce: Callable[[Settings, str], None], sockets: Sequence[socket.socket]
) -> int:
    under_systemd, to_journal = "INVOCATION_ID" in chosen.environ, systemd.reads_stderr(chosen.environ)
    logs.set_up(chosen.log_level, chosen.log_format, under_systemd=under_systemd, to_journal=to_journal)
    for warning in warnings:
        _log.warning(warning)
    home.make_directories(chosen)
    cli = command.find(chosen)
    _log.info("codex %s at %s", cli.dotted_version, cli.path)
    try:
        return await app.serve(chosen, cli, lambda address: announce(chosen, address), sockets)
    except OSError as error:
        print(f"Cannot listen on {chosen.host}:{chosen.port}: {error.strerror}. Set PROXY_HOST or PROXY_PORT.", file=sys.stderr)
        return _NOT_STARTED


def _say_address(_: Settings, address: str) -> None:
    print(f"codex-proxy is ready: {address}/v1", flush=True)


def _say_demo(chosen: Settings, address: str) -> None:
    key = f" -H 'Authorization: Bearer {chosen.api_key}'" if chosen.api_key else ""
    body = '{"stream": true, "messages": [{"role": "user", "content": "Hello! Please run: `uname -a`"}]}'
    print(
        f"""
codex-proxy demo: the real Codex CLI with a built-in offline model, at {address}/v1
Try:

  curl -N {address}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'

Ctrl-C ends it.""",
        flush=True,
    )


async def _add_key(arguments: argparse.Namespace) -> int:
    chosen = _settings()
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
    token = keys_file.add(chosen, arguments.name, limits)
    print(f"The key of {arguments.name}, shown only now. A running server knows it already.", file=sys.stderr)
    print(token)
    return 0


async def _list_keys(_: argparse.Namespace) -> int:
    for name, entry in keys_file.listed(_settings()).items():
        limits = {member: value for member, value in msgspec.to_builtins(entry).items() if member != "sha256"}
        print(name, *(f"{member}={msgspec.json.encode(value).decode()}" for member, value in limits.items()))
    return 0


async def _revoke_key(arguments: argparse.Namespace) -> int:
    keys_file.revoke(_settings(), arguments.name)
    print(f"The key of {arguments.name} is revoked. A running server refuses it from now on.", file=sys.stderr)
    return 0


def _settings() -> Settings:
    """Of a command that is not the server: warnings go to stderr."""
    chosen, warnings = settings.load(settings.os_environment(), Path.cwd())
    for warning in warnings:
        print(warning, file=sys.stderr)
    return chosen


async def _codex(arguments: argparse.Namespace) -> int:
    chosen = _settings()
    home.make_home(chosen)
    path = command.find(chosen).path
    os.execve(path, [path, *arguments.arguments], {**chosen.environ, "CODEX_HOME": str(home.codex_home(chosen))})


async def _doctor(arguments: argparse.Namespace) -> int:
    findings = []
    async for finding in doctor.examine(settings.os_environment(), Path.cwd()):
        findings.append(finding)
        if not arguments.json:
            print(finding.line(), flush=True)
    if arguments.json:
        print(msgspec.json.encode(findings).decode())
    return _BROKE if any(finding.status == "failed" for finding in findings) else 0


async def _models(_: argparse.Namespace) -> int:
    chosen = _settings()
    home.make_directories(chosen)
    async with Worker.started(command.find(chosen), chosen, asyncio.Lock(), "chat") as worker:
        for name, _choice in worker.facts.catalog.names(efforts=chosen.list_models == "all"):
            print(name)
    return 0
