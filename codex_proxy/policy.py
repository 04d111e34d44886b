"""May this turn be run so, and how exactly: a Wish becomes a Turn. Pure, but for resolving a directory's real path.

What a request asks for can only narrow what the server allows; what it does not say, the settings say.
"""

from pathlib import Path

import msgspec

from codex_proxy.errors import Forbidden, NotAllowedHere
from codex_proxy.settings import SANDBOXES, Settings
from codex_proxy.turns import Mode, Sandbox, Summary, Turn, Wish

_SANDBOXES: tuple[Sandbox, ...] = ("read-only", "workspace-write", "danger-full-access")  # lowest first


class Named(msgspec.Struct, frozen=True):
    """What the model's name and the catalogue settle."""

    model: str
    effort: str | None
    mode: Mode | None


def decide(wish: Wish, named: Named, settings: Settings, *, provider_local: bool, turn_id: str) -> Turn:
    """The turn that a wish becomes. Raises Forbidden or NotAllowedHere."""
    if settings.local_only and not provider_local:
        raise NotAllowedHere("This server runs turns on local model providers only, and Codex's provider is not local.")
    sandbox = _sandbox(wish, settings)
    summary: Summary = "none" if settings.hide_reasoning or wish.hide_reasoning else wish.summary or "auto"
    return Turn(
        id=turn_id,
        model=named.model,
        effort=named.effort,
        mode=wish.mode or named.mode or ("chat" if settings.default_mode == "chat" else "agent"),
        sandbox=sandbox,
        network=sandbox == "workspace-write" and settings.workspace_network and wish.network is not False,
        cwd=str(_cwd(wish, settings)),
        history=wish.history,
        input=wish.input,
        tools=wish.tools,
        must_call=wish.must_call,
        one_call=wish.one_call,
        output_schema=wish.output_schema,
        record=wish.record,
        summary=summary,
        raw_reasoning=wish.expose_reasoning and summary != "none",
        verbosity=wish.verbosity,
        service_tier=wish.service_tier,
        web_search=wish.web_search,
    )


def _sandbox(wish: Wish, settings: Settings) -> Sandbox:
    """The lower one of what the request asks for and what the server allows; to ask for danger mode in vain is an error."""
    configured = SANDBOXES.index(settings.sandbox)
    if wish.sandbox is None:
        return _SANDBOXES[configured]
    if wish.sandbox == "danger-full-access" and not settings.allow_danger:
        raise NotAllowedHere("danger-full-access is switched off on this server.", param="x_codex.sandbox")
    ceiling = len(_SANDBOXES) if settings.allow_danger else configured
    return _SANDBOXES[min(_SANDBOXES.index(wish.sandbox), ceiling)]


def _cwd(wish: Wish, settings: Settings) -> Path:
    """The configured directory, or one inside CODEX_WORKSPACES: compared as real paths, by component."""
    if wish.cwd is None:
        return settings.workdir
    roots = (settings.workdir, *settings.workspaces)
    try:
        wanted = Path(wish.cwd)
        real = wanted.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise Forbidden("This directory is not one of the server's workspaces.", param="x_codex.cwd") from None
    if not wanted.is_absolute() or not real.is_dir() or not any(real.is_relative_to(root) for root in roots):
        raise Forbidden("This directory is not one of the server's workspaces.", param="x_codex.cwd")
    return real
