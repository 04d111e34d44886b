"""`codex-proxy serve`: run the server, with its start screen."""

import argparse
import asyncio
import errno
import faulthandler
import functools
import ipaddress
import logging
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from codex_proxy import logs, own_process, roots, settings, systemd
from codex_proxy.codex import command, home, orphans, places, profile
from codex_proxy.commands import banner, place, ports
from codex_proxy.commands.running import NOT_STARTED
from codex_proxy.demo import script
from codex_proxy.demo.home import prepared
from codex_proxy.demo.model import ModelServer
from codex_proxy.settings import Settings, SettingsError
from codex_proxy.web import serving

_log = logging.getLogger(__name__)

_NOT_IN_A_DEMO = (
    *("CODEX_HOME", "CODEX_WRAPPER_PROFILE_DIR", "CODEX_WORKSPACES", "CODEX_LOCAL_ONLY", "CODEX_EXTRA_MODELS"),
    "OPENAI_API_KEY",
)
_DEMO_PORT = 8000

EPILOG = """Settings come from the environment and from .env in the current directory:
see docs/ENV.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (PROXY_HOST, default 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (PROXY_PORT, default 8000; 0 = any free port)")
    parser.add_argument(
        "--demo", action="store_true", help="use a built-in offline model, with a temporary home and workspace; needs no login"
    )


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> int:
    own_process.keep_private()
    own_process.give_back_large_blocks()
    orphans.adopt()
    faulthandler.enable()  # a watchdog's SIGABRT then logs where the program hangs
    flags = {"PROXY_HOST": arguments.host, "PROXY_PORT": arguments.port}
    environ = settings.os_environment() | {name: value for name, value in flags.items() if value is not None}
    sockets = _passed_sockets(environ)
    environ |= _where(sockets)
    if not arguments.demo:
        chosen, warnings = settings.load(environ, Path.cwd())
        home.make_home(chosen)
        warnings += profile.copy(chosen, home.codex_home(chosen))
        return await _serve_with(chosen, warnings, sockets, demo=False)
    if not environ.get("PROXY_PORT"):
        environ["PROXY_PORT"] = str(ports.next_free(environ.get("PROXY_HOST") or "127.0.0.1", _DEMO_PORT))
    async with ModelServer.started(script.script) as model:
        with prepared(model.base_url) as demo:
            demo.furnish()
            kept = {name: value for name, value in environ.items() if name not in _NOT_IN_A_DEMO}
            return await _serve_with(*settings.load(kept | demo.environment(), demo.root), sockets, demo=True)


def _passed_sockets(environ: Mapping[str, str]) -> list[socket.socket]:
    try:
        return systemd.passed_sockets(environ)
    except ValueError as error:
        raise SettingsError(f"The sockets passed by systemd cannot be used: {error}.") from error


def _where(sockets: Sequence[socket.socket]) -> dict[str, str]:
    """Return the settings that name the address of `sockets`, if any; of several, the one that others can reach."""
    found = [("localhost", 0) if one.family == socket.AF_UNIX else one.getsockname()[:2] for one in sockets]
    found.sort(key=lambda address: address[0] == "localhost" or ipaddress.ip_address(address[0]).is_loopback)
    return {"PROXY_HOST": found[0][0], "PROXY_PORT": str(found[0][1])} if found else {}


async def _serve_with(chosen: Settings, warnings: list[str], sockets: Sequence[socket.socket], *, demo: bool) -> int:
    terminal = logs.Terminal(colour=place.error_style().colour) if sys.stderr.isatty() else None
    logs.set_up(
        chosen.log_level,
        chosen.log_format,
        under_systemd="INVOCATION_ID" in chosen.environ,
        to_journal=systemd.reads_stderr(chosen.environ),
        terminal=terminal,
    )
    for warning in warnings:
        _log.warning(warning)
    if not sockets and (trouble := ports.trouble(chosen.host, chosen.port)):
        return _cannot_listen(chosen, trouble)
    places.make_directories(chosen)
    for warning in roots.unusable(chosen.workspaces):
        _log.warning(warning)
    cli = command.find(chosen)
    if not demo and (as_root := command.trouble_as_root()) is not None:
        _log.warning("%s: run the server as another user", as_root)
    _log.info("codex %s at %s", cli.dotted_version, cli.path, extra={"terminal": ""})
    try:
        return await serving.serve(chosen, cli, functools.partial(banner.show, cli=cli, demo=demo), sockets)
    except OSError as error:
        return _cannot_listen(chosen, error)


def _cannot_listen(chosen: Settings, error: OSError) -> int:
    if error.errno == errno.EADDRINUSE:
        said = f"Port {chosen.port} is in use."
        free = ports.next_free(chosen.host, chosen.port + 1)
        remedy = f"Try --port {free}" if free else "Set PROXY_PORT to another one."
    else:
        said = f"Cannot listen on {chosen.host}:{chosen.port}: {error.strerror or error}."
        remedy = "Set PROXY_HOST or PROXY_PORT."
    print(f"{said} {remedy}", file=sys.stderr)
    return NOT_STARTED
