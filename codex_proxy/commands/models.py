"""`codex-proxy models`: what the installed CLI offers, asked of the CLI itself."""

import argparse
import asyncio
import sys

import msgspec

from codex_proxy.catalog import Catalog, Model
from codex_proxy.codex import command, places
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.codex.worker import Worker
from codex_proxy.commands import place
from codex_proxy.commands.terminal import table

_HEADER = ("MODEL", "DEFAULT", "EFFORTS", "CONTEXT", "INPUT", "MODES")

EPILOG = """A request names a model, optionally followed by an effort and a mode: "gpt-5.5", "gpt-5.5 high", "gpt-5.5 chat"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    parser.add_argument("--all", action="store_true", help="include hidden models")


def run(arguments: argparse.Namespace) -> int:
    catalog = asyncio.run(_ask())
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
        place.error_style().dim("* the model's own default. A name can be followed by an effort and a mode: gpt-5.5 high chat"),
        file=sys.stderr,
    )
    return 0


async def _ask() -> Catalog:
    chosen = place.read_settings()
    places.make_directories(chosen)
    async with Worker.started(command.find(chosen), chosen, asyncio.Lock(), OpenThreads(), "chat") as worker:
        return worker.facts.catalog


def _row(model: Model, catalog: Catalog) -> tuple[str, ...]:
    """The cells; empty where the CLI does not say."""
    efforts = ", ".join(f"{effort}*" if effort == model.default_effort else effort for effort in model.efforts)
    return (
        model.id,
        "yes" if model.id == catalog.default else "",
        efforts or "any",
        f"{model.context_length // 1000}k" if model.context_length else "",
        ", ".join(model.modalities),
        "agent, chat",
    )
