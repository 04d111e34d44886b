"""`codex-proxy models`: list the models of a running server, or of the installed CLI if none is running."""

import argparse
import asyncio
import sys

import msgspec

from codex_proxy.catalog import Catalog, Model
from codex_proxy.codex import command, places
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.codex.worker import Worker
from codex_proxy.commands import api, place
from codex_proxy.commands.terminal import table
from codex_proxy.errors import CommandFailed

_HEADER = ("MODEL", "EFFORTS", "CONTEXT", "INPUT")
_QUICK = 2.0  # seconds

EPILOG = """A request names a model, optionally followed by an effort and a mode: "gpt-5.5",
"gpt-5.5 high", "gpt-5.5 chat".
Without a running server, the installed Codex CLI is asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    parser.add_argument("--all", action="store_true", help="include hidden models; asks the installed CLI")
    api.add_server_options(parser)


def run(arguments: argparse.Namespace) -> int:
    catalog = None if arguments.all else _of_the_server(arguments)
    if catalog is None:
        catalog = of_the_cli()
    shown = catalog.listed()
    shown += [model for model in catalog.models if arguments.all and model not in shown]
    if arguments.json:
        members = [member for member in Model.__struct_fields__ if member != "manifest"]
        told = [
            {**{member: getattr(model, member) for member in members}, "default": model.id == catalog.default} for model in shown
        ]
        print(msgspec.json.encode(told).decode())
        return 0
    rows = [_row(model, catalog) for model in shown]
    known = [at for at in range(len(_HEADER)) if any(row[at] for row in rows)]
    print(table([_HEADER[at] for at in known], [[row[at] for at in known] for row in rows], place.out_style()))
    print(
        place.error_style().dim("* the model's own default. An effort and a mode can follow a name: gpt-5.5 high chat"),
        file=sys.stderr,
    )
    return 0


class _Extras(msgspec.Struct):
    """The `x_codex` member of an entry of /v1/models."""

    model: str
    reasoning_effort: str | None
    reasoning_efforts: tuple[str, ...]
    input_modalities: tuple[str, ...]


class _Entry(msgspec.Struct):
    id: str
    x_codex: _Extras
    context_length: int | None = None


def _of_the_server(arguments: argparse.Namespace) -> Catalog | None:
    """Return the models that the server lists for this key, default first; None if that fails.

    With an explicit --base-url, failures are raised instead.
    """
    try:
        listed = api.server(arguments).get("/models", timeout=_QUICK)
        entries = msgspec.convert(listed["data"], list[_Entry])
    except (CommandFailed, msgspec.ValidationError, KeyError) as error:
        if arguments.base_url:
            raise
        if not isinstance(error, api.Unreachable):
            print(f"The running server did not list its models: {error} Asking the installed Codex CLI.", file=sys.stderr)
        return None
    found = {one.x_codex.model: _model(one) for one in reversed(entries)}  # for a model with several names, keep the first
    models = tuple(reversed(found.values()))
    return Catalog(models, models[0].id if models else "")


def _model(entry: _Entry) -> Model:
    extras = entry.x_codex
    return Model(
        id=extras.model,
        efforts=extras.reasoning_efforts,
        default_effort=extras.reasoning_effort,
        modalities=extras.input_modalities,
        display_name=extras.model,
        context_length=entry.context_length,
    )


def of_the_cli() -> Catalog:
    """Ask the installed CLI for all models, hidden ones too. Raises SettingsError, CommandNotFound, WorkerFailed."""
    return asyncio.run(_asked())


async def _asked() -> Catalog:
    chosen = place.read_settings()
    with places.stand_ins(chosen) as chosen:
        async with Worker.started(command.find(chosen), chosen, asyncio.Lock(), OpenThreads(), "chat") as worker:
            return worker.facts.catalog


def _row(model: Model, catalog: Catalog) -> tuple[str, ...]:
    """Return the cells of a row; empty where the CLI reports nothing."""
    efforts = ", ".join(f"{effort}*" if effort == model.default_effort else effort for effort in model.efforts)
    return (
        f"{model.id} (default)" if model.id == catalog.default else model.id,
        efforts or "any",
        f"{model.context_length // 1000}k" if model.context_length else "",
        ", ".join(model.modalities),
    )
