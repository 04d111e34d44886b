"""May this turn be run so, and how exactly: a Wish becomes a Turn. Pure, but for resolving a directory's real path.

What a request asks for can only narrow what the server and the caller's key allow; what it does not say, the settings
say, within the key's scope.
"""

from pathlib import Path

import msgspec

from codex_proxy.errors import Forbidden, NotAllowedHere
from codex_proxy.keys import Scope
from codex_proxy.settings import SANDBOXES, Settings
from codex_proxy.turns import Mode, Sandbox, Summary, Turn, Wish

_SANDBOXES: tuple[Sandbox, ...] = ("read-only", "workspace-write", "danger-full-access")  # lowest first


class Named(msgspec.Struct, frozen=True):
    """What the model's name and the catalogue settle."""

    model: str
    effort: str | None
    mode: Mode | None


def model_name(wish: Wish, default: str, scope: Scope) -> str:
    """What to look up in the catalogue: the wish's, else its default where the key may use that, else the key's first."""
    return (wish.model or "").strip() or default_model(default, scope)


def default_model(default: str, scope: Scope) -> str:
    """The server's default where the key may use it, else the key's first."""
    return default if scope.has_model(default) else scope.models[0]


def decide(wish: Wish, named: Named, settings: Settings, scope: Scope, *, provider_local: bool, turn_id: str) -> Turn:
    """The turn that a wish becomes. Raises Forbidden or NotAllowedHere."""
    if not scope.has_model(named.model):
        raise Forbidden(f"This key may not use the model {named.model}. It may use: {', '.join(scope.models)}.", param="model")
    if settings.local_only and not provider_local:
        raise NotAllowedHere("This server runs turns on local model providers only, and Codex's provider is not local.")
    sandbox = _sandbox(wish, settings, scope)
    if sandbox == "danger-full-access" and wish.network is False:
        raise NotAllowedHere("danger-full-access has no sandbox that could keep the network out.", param="x_codex.network_access")
    summary: Summary = "none" if settings.hide_reasoning or wish.hide_reasoning else wish.summary or "auto"
    return Turn(
        id=turn_id,
        model=named.model,
        effort=named.effort,
        mode=wish.mode or named.mode or ("chat" if settings.default_mode == "chat" else "agent"),
        sandbox=sandbox,
        network=sandbox == "workspace-write" and settings.workspace_network and scope.network and wish.network is not False,
        cwd=str(_cwd(wish, settings, scope)),
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


def _sandbox(wish: Wish, settings: Settings, scope: Scope) -> Sandbox:
    """The lowest of what the request asks for, the server allows and the key allows; to ask for danger in vain is an error."""
    if wish.sandbox == "danger-full-access":
        if not settings.allow_danger:
            raise NotAllowedHere("danger-full-access is switched off on this server.", param="x_codex.sandbox")
        if scope.sandbox != wish.sandbox:
            raise Forbidden("This key may not use danger-full-access.", param="x_codex.sandbox")
    ceiling = _SANDBOXES[-1] if settings.allow_danger else settings.sandbox
    return _SANDBOXES[min(map(SANDBOXES.index, (wish.sandbox or settings.sandbox, ceiling, scope.sandbox)))]


def _cwd(wish: Wish, settings: Settings, scope: Scope) -> Path:
    """A directory inside the server's and the key's workspaces: compared as real paths, by component."""
    roots = (settings.workdir, *settings.workspaces)
    own = scope.workspaces or roots
    if wish.cwd is None:
        return settings.workdir if _inside(settings.workdir, own) else own[0]
    try:
        wanted = Path(wish.cwd)
        real = wanted.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        real = None
    if real is None or not wanted.is_absolute() or not real.is_dir() or not (_inside(real, roots) and _inside(real, own)):
        raise Forbidden("This directory is not one of the workspaces that you may use here.", param="x_codex.cwd")
    return real


def _inside(place: Path, roots: tuple[Path, ...]) -> bool:
    return any(place.is_relative_to(root) for root in roots)
