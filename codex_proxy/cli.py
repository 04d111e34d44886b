"""The command line: argv -> settings -> web.app. The only place that knows exit codes.

0: ended as asked. 1: broke while it ran. 2: could not start, with one sentence that says why and what to do.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from codex_proxy import __version__, logs, settings
from codex_proxy.codex import command, home
from codex_proxy.codex.worker import Worker
from codex_proxy.demo import script
from codex_proxy.demo.home import prepared
from codex_proxy.demo.model import ModelServer
from codex_proxy.errors import CommandNotFound, StorageFull, StoreUnavailable, WorkerFailed
from codex_proxy.settings import Settings, SettingsError
from codex_proxy.web import app

_log = logging.getLogger(__name__)

_BROKE, _NOT_STARTED = 1, 2
_NOT_IN_A_DEMO = ("CODEX_HOME", "CODEX_WORKSPACES", "CODEX_LOCAL_ONLY", "CODEX_EXTRA_MODELS", "OPENAI_API_KEY")


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
    models = commands.add_parser("models", help="list the model names that a request may use")
    models.set_defaults(run=_models)
    codex = commands.add_parser(
        "codex", help="run the Codex CLI that the server uses, with its CODEX_HOME: codex-proxy codex login"
    )
    codex.add_argument("arguments", nargs=argparse.REMAINDER, help="what the Codex CLI is given")
    codex.set_defaults(run=_codex)
    return parser


async def _serve(arguments: argparse.Namespace) -> int:
    flags = {"PROXY_HOST": arguments.host, "PROXY_PORT": arguments.port}
    environ = settings.os_environment() | {name: value for name, value in flags.items() if value is not None}
    if not arguments.demo:
        return await _serve_with(*settings.load(environ, Path.cwd()), announce=_say_address)
    async with ModelServer.started(script.script) as model:
        with prepared(model.base_url) as demo:
            kept = {name: value for name, value in environ.items() if name not in _NOT_IN_A_DEMO}
            return await _serve_with(*settings.load(kept | demo.environment(), demo.root), announce=_say_demo)


async def _serve_with(chosen: Settings, warnings: list[str], announce: Callable[[Settings, str], None]) -> int:
    logs.set_up(chosen.log_level, chosen.log_format, under_systemd="INVOCATION_ID" in chosen.environ)
    for warning in warnings:
        _log.warning(warning)
    home.make_directories(chosen)
    cli = command.find(chosen)
    _log.info("codex %s at %s", cli.dotted_version, cli.path)
    try:
        return await app.serve(chosen, cli, lambda address: announce(chosen, address))
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


async def _codex(arguments: argparse.Namespace) -> int:
    chosen, _ = settings.load(settings.os_environment(), Path.cwd())
    home.make_home(chosen)
    path = command.find(chosen).path
    os.execve(path, [path, *arguments.arguments], {**chosen.environ, "CODEX_HOME": str(home.codex_home(chosen))})


async def _models(_: argparse.Namespace) -> int:
    chosen, warnings = settings.load(settings.os_environment(), Path.cwd())
    for warning in warnings:
        print(warning, file=sys.stderr)
    home.make_directories(chosen)
    async with Worker.started(command.find(chosen), chosen, asyncio.Lock(), "chat") as worker:
        for name, _model, _effort in worker.facts.catalog.names():
            print(name)
    return 0
