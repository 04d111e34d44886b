"""`codex-proxy client NAME`: print a ready client configuration with this server's address and key."""

import argparse
import sys
from http import HTTPStatus

from codex_proxy.commands import api, place
from codex_proxy.commands.client_configs import CONFIGS, ClientConfig
from codex_proxy.commands.terminal import table
from codex_proxy.errors import CommandFailed
from codex_proxy.near_misses import did_you_mean
from codex_proxy.settings import SettingsError

_USUAL_MODEL = "gpt-5.5"
_QUICK = 2.0  # seconds
_NO_KEY, _SOME_KEY = "unused", "YOUR_KEY"

EPILOG = """The configuration goes to stdout and instructions to stderr, so you can append
it to a file:
  codex-proxy client codex >> ~/.codex-of-mine/config.toml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="the client; without it, list them")
    parser.add_argument("-m", "--model", help="the model (default: the first that the server lists)")
    api.add_server_options(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        rows = [(name, config.where) for name, config in CONFIGS.items()]
        print(table(("CLIENT", "WHERE ITS CONFIGURATION BELONGS"), rows, place.out_style()))
        return 0
    config = CONFIGS.get(arguments.name.lower())
    if config is None:
        meant = did_you_mean(arguments.name, CONFIGS)
        raise SettingsError(
            f"There is no configuration for {arguments.name!r}.{meant} Known clients: {', '.join(CONFIGS)}. Any other that takes "
            f"an OpenAI compatible provider needs the base URL, the key and a model: {place.program()} client openai"
        )
    _print(config, _values(arguments))
    return 0


def _print(config: ClientConfig, values: dict[str, str]) -> None:
    style = place.error_style()
    print(style.dim(f"# {config.where}"), file=sys.stderr, flush=True)
    print(config.filled(values), end="", flush=True)
    notes = [ClientConfig("", "", config.note).filled(values)] if config.note else []
    if values["KEY"] == _SOME_KEY:
        notes.append(f"Replace YOUR_KEY with your key. To create one: {place.program()} keys add NAME")
    for note in notes:
        print(style.dim(f"# {note}"), file=sys.stderr)


def _values(arguments: argparse.Namespace) -> dict[str, str]:
    server = api.server(arguments)
    key = server.key or (_SOME_KEY if not arguments.base_url and place.read_settings().has_keys else _NO_KEY)
    model = arguments.model or _first_model(server)
    return {"URL": server.base_url, "KEY": key, "MODEL": model, "CHAT": f"{model}:chat"}


def _first_model(server: api.Api) -> str:
    """Return the server's default model; a common one if no server answers."""
    try:
        return str(server.get("/models", timeout=_QUICK)["data"][0]["id"])
    except api.Refused as refusal:
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            print(f"{refusal} Until then the model is a guess.", file=sys.stderr)
        return _USUAL_MODEL
    except (CommandFailed, KeyError, IndexError):
        return _USUAL_MODEL
