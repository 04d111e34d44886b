"""`codex-proxy login`: log in the Codex CLI that the server uses, in its home."""

import argparse

from codex_proxy.commands import codex

EPILOG = """Without options it opens a browser. On a machine without one:
  codex-proxy login --device-auth
With an API key:
  echo "$OPENAI_API_KEY" | codex-proxy login --with-api-key
A running server picks up the login without a restart."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device-auth", action="store_true", help="log in with a code that you enter on another machine")
    parser.add_argument("--with-api-key", action="store_true", help="log in with an API key, read from stdin")
    parser.add_argument("--status", action="store_true", help="say whether Codex is logged in")


def run(arguments: argparse.Namespace) -> int:
    if arguments.status:
        codex.become(["login", "status"])
    chosen = ("device_auth", "--device-auth"), ("with_api_key", "--with-api-key")
    codex.become(["login", *(option for name, option in chosen if getattr(arguments, name))])
