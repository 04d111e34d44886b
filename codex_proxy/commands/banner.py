"""The start screen, shown once the server listens; a single line when stdout is not a terminal.

It says "Ready" only if a turn could run; otherwise it says why not and what to do.
"""

import shlex
import sys
from collections.abc import Iterator

from codex_proxy import __version__
from codex_proxy.codex.command import Command
from codex_proxy.commands import place
from codex_proxy.commands.terminal import Style
from codex_proxy.settings import Settings
from codex_proxy.web.server import NOT_LOGGED_IN, Server

_LABEL = 10  # columns


def show(server: Server, address: str, *, cli: Command, demo: bool) -> None:
    """Print the start screen on stdout."""
    trouble = server.trouble()
    if sys.stdout.isatty():
        lines = _screen(server, address, cli, trouble, place.out_style(), demo=demo)
    elif trouble is None:
        lines = [f"codex-proxy is ready: {address}/v1"]
    else:
        lines = [f"codex-proxy listens on {address}/v1 and is not ready: {trouble}.{_remedy(trouble)}"]
    if demo:
        lines += ["", *_suggestions(server.settings, address)]
    print("\n".join(lines), flush=True)


def _screen(server: Server, address: str, cli: Command, trouble: str | None, style: Style, *, demo: bool) -> list[str]:
    title = f"codex-proxy {__version__}{' demo' if demo else ''}"
    state = style.good("Ready") if trouble is None else style.warn(f"Not ready: {trouble}.")
    rows = [f"  {style.dim(label.ljust(_LABEL))} {text}" for label, text in _rows(server, address, cli)]
    return ["", f"{style.bold(title)}  {state}", "", *rows, *([] if demo else ["", *_next_steps(trouble)])]


def _next_steps(trouble: str | None) -> list[str]:
    steps = [("Talk to it", f"{place.program()} chat"), ("Set up a client", f"{place.program()} client NAME"), ("Stop", "Ctrl-C")]
    if trouble == NOT_LOGGED_IN:
        steps.insert(0, ("Log in first", f"{place.program()} login   (without a browser: --device-auth)"))
    return [f"{label}: {step}" for label, step in steps]


def _rows(server: Server, address: str, cli: Command) -> Iterator[tuple[str, str]]:
    chosen, facts = server.settings, server.facts()
    yield "API", f"{address}/v1"
    if chosen.console:
        yield "Console", f"{address}/"
    login = "not logged in" if not facts.usable else "logged in" if facts.provider == "openai" else facts.provider_url or ""
    yield "Codex", f"{cli.dotted_version}, provider {facts.provider}, {login}".rstrip(", ")
    yield "Model", f"{facts.catalog.default}, effort {chosen.reasoning_effort}, {chosen.default_mode} mode"
    unset = " (CODEX_WORKDIR is not set, and /workspace cannot be made)" if chosen.workdir_unset else ""
    yield "Workspace", f"{place.short(chosen.workdir)}{unset}"
    yield "Sandbox", chosen.sandbox + (" with network" if chosen.workspace_network else "")
    yield "Keys", _keys(server)
    store = chosen.store_file
    yield "Store", place.short(store) if store else chosen.store.partition(":")[0]


def _keys(server: Server) -> str:
    chosen = server.settings
    named = len(server.callers.keyring)
    if not chosen.has_keys:
        return (
            "none: every program on this machine can use it"
            if chosen.on_loopback
            else "none: anyone who can reach this address can use it"
        )
    every = ["PROXY_API_KEY"] if chosen.api_key else []
    return " and ".join([*every, *([f"{named} named"] if chosen.api_keys_file else [])])


def _remedy(trouble: str) -> str:
    return f" Run: {place.program()} login" if trouble == NOT_LOGGED_IN else ""


def _suggestions(chosen: Settings, address: str) -> list[str]:
    port = address.rpartition(":")[2]
    elsewhere = "" if port == "8000" else f" --base-url {address}/v1"
    named = "YOUR_KEY" if chosen.has_keys and not chosen.api_key else None  # only its holder knows a named key
    bearer = chosen.api_key or named
    key = f" -H {shlex.quote(f'Authorization: Bearer {bearer}')}" if bearer else ""
    given = f" --api-key {named}" if named else ""
    body = '{"stream": true, "messages": [{"role": "user", "content": "Please run: `uname -a`"}]}'
    opened = [f"  {address}/", ""] if chosen.console else []
    return [
        "The real Codex CLI answers from a built-in offline model. Try:",
        "",
        *opened,
        f"  {place.program()} chat{elsewhere}{given}",
        "",
        f"  curl -N {address}/v1/chat/completions{key} \\",
        "    -H 'Content-Type: application/json' \\",
        f"    -d '{body}'",
        "",
        "Ctrl-C stops it.",
    ]
