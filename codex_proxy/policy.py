"""Turn a Wish into a Turn, or refuse it. Pure, except for resolving a directory's real path.

A request for more than the server or the key allows is refused, never silently lowered. What the request leaves open comes from
the settings, lowered to what the key allows.
"""

import os
from pathlib import Path

from codex_proxy.catalog import Choice, Facts, effort_for
from codex_proxy.ceilings import SANDBOXES
from codex_proxy.errors import Forbidden, InvalidRequest, NotAllowedHere, NotLoggedIn, SandboxNotAllowed
from codex_proxy.keys import Scope
from codex_proxy.settings import Settings
from codex_proxy.turns import Mode, Sandbox, Summary, Turn, WebSearch
from codex_proxy.wish import Wish

_WORKSPACES_SHOWN = 10
_SANDBOXES: tuple[Sandbox, ...] = ("read-only", "workspace-write", "danger-full-access")  # lowest first


def decide(wish: Wish, facts: Facts, settings: Settings, scope: Scope, turn_id: str) -> Turn:
    """Resolve a wish. Raises NotLoggedIn, ModelNotFound, InvalidRequest, Forbidden, SandboxNotAllowed or NotAllowedHere."""
    _check_login(facts)
    choice = facts.catalog.choose(_model_name(wish, facts, scope))
    _check_model(choice, wish, scope)
    task = wish.task if settings.ui_tasks == "chat" else None
    mode, effort = _mode_and_effort(wish, choice, settings, is_task=task is not None)
    if settings.local_only and not facts.provider_local:
        raise NotAllowedHere("This server runs turns on local model providers only, and Codex's provider is not local.")
    sandbox, network_allowed = _sandbox(wish, settings, scope), settings.network_ceiling and scope.network
    network = _network(wish, settings, allowed=network_allowed)
    if sandbox == "danger-full-access" and wish.network is False:
        raise NotAllowedHere("danger-full-access has no sandbox that could block the network.", param="x_codex.network_access")
    cwd, root = _place(wish, settings, scope)
    summary: Summary = "none" if settings.hide_reasoning or wish.hide_reasoning else wish.summary or "auto"
    return Turn(
        id=turn_id,
        model=choice.model.id,
        effort=effort,
        mode=mode,
        sandbox=sandbox,
        network=sandbox == "workspace-write" and network,
        cwd=str(cwd),
        root=str(root),
        history=wish.history,
        input=wish.input,
        tools=wish.tools,
        must_call=wish.must_call,
        one_call=wish.one_call,
        output_schema=wish.output_schema,
        checked_schema=wish.checked_schema,
        record=wish.record,
        task=task,
        summary=summary,
        raw_reasoning=wish.expose_reasoning and summary != "none",
        verbosity=wish.verbosity,
        service_tier=wish.service_tier,
        web_search=_web_search(wish, mode, allowed=network_allowed),
        note=wish.note,
    )


def _mode_and_effort(wish: Wish, choice: Choice, settings: Settings, *, is_task: bool) -> tuple[Mode, str | None]:
    """Mode and effort by the request, the model name and the settings; a chat UI's task runs as chat at the lowest effort."""
    effort = effort_for(choice, wish.effort, settings.reasoning_effort, wish.effort_place)
    if is_task:
        return "chat", next(iter(choice.model.efforts), None)  # efforts are sorted, lowest first
    return wish.mode or choice.mode or ("chat" if settings.default_mode == "chat" else "agent"), effort


def _check_login(facts: Facts) -> None:
    if not facts.usable:
        raise NotLoggedIn("Codex is not logged in on this server. Its operator can log it in with codex-proxy login.")


def _check_model(choice: Choice, wish: Wish, scope: Scope) -> None:
    model = choice.model
    if wish.images and "image" not in model.modalities:
        raise InvalidRequest(f"The model {model.id} does not accept images.", param="model")
    if not scope.has_model(model.id):
        raise Forbidden(f"This key may not use the model {model.id}. It may use: {', '.join(scope.models)}.", param="model")


def default_model(default: str, scope: Scope) -> str:
    """The server's default model if the key may use it, else the key's first model."""
    return default if scope.has_model(default) else scope.models[0]


def _model_name(wish: Wish, facts: Facts, scope: Scope) -> str:
    """The name to look up in the catalogue."""
    return wish.model or default_model(facts.catalog.default, scope)


def _sandbox(wish: Wish, settings: Settings, scope: Scope) -> Sandbox:
    """The requested sandbox if it is allowed; without a request the server's default, lowered to the key's ceiling if needed."""
    highest = min(SANDBOXES.index(ceiling) for ceiling in (settings.sandbox_ceiling, scope.sandbox))
    if wish.sandbox is None:
        return _SANDBOXES[min(SANDBOXES.index(settings.sandbox), highest)]
    if SANDBOXES.index(wish.sandbox) > highest:
        if wish.sandbox == "danger-full-access" and not settings.allow_danger:
            raise NotAllowedHere(
                "danger-full-access is turned off on this server. CODEX_ALLOW_DANGER_FULL_ACCESS=1 turns it on.",
                param="x_codex.sandbox",
            )
        offered = ", ".join(SANDBOXES[: highest + 1])
        raise SandboxNotAllowed(f"The sandbox {wish.sandbox} is not allowed here. Allowed: {offered}.", param="x_codex.sandbox")
    return wish.sandbox


def _network(wish: Wish, settings: Settings, *, allowed: bool) -> bool:
    """Whether commands in workspace-write have network access."""
    if wish.network and not allowed:
        raise SandboxNotAllowed(
            "Network access is not allowed here. Leave out network_access, or set it to false.", param="x_codex.network_access"
        )
    return allowed and (settings.workspace_network if wish.network is None else wish.network)


def _web_search(wish: Wish, mode: Mode, *, allowed: bool) -> WebSearch:
    """The web search mode. A search counts as network access: queries leave the machine, and results come from anywhere."""
    if wish.web_search and wish.network is False:
        raise InvalidRequest("Web search needs network access, but network_access is false.", param="x_codex.network_access")
    if wish.web_search and not allowed:
        raise SandboxNotAllowed("Web search needs network access, which is not allowed here.", param=wish.web_search_place)
    if wish.web_search:
        return "live"
    return "configured" if allowed and wish.network is not False and mode == "agent" else "disabled"


def _place(wish: Wish, settings: Settings, scope: Scope) -> tuple[Path, Path]:
    """The turn's directory, inside the server's and the key's workspaces, and the innermost workspace around it, as real paths."""
    own = scope.workspaces or settings.roots
    if wish.cwd is None:
        usual = settings.workdir if _around(settings.workdir, own) else own[0]
        return usual, _narrowest(usual, settings.roots, own)
    try:
        wanted = Path(wish.cwd)
        real = wanted.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        real = None
    if (
        real is None
        or not wanted.is_absolute()
        or not (_around(real, settings.roots) and _around(real, own))
        or not os.path.isdir(real)
    ):
        shown = ", ".join(map(str, own[:_WORKSPACES_SHOWN])) + (", …" if own[_WORKSPACES_SHOWN:] else "")
        raise Forbidden(
            "The working directory must be an existing directory in a workspace that you may use here, by its absolute path; "
            f"{wish.cwd[:200]!r} is not. Workspaces: {shown}.",
            param="x_codex.cwd",
        )
    return real, _narrowest(real, settings.roots, own)


def _narrowest(place: Path, *sets: tuple[Path, ...]) -> Path:
    return max((root for roots in sets for root in roots if place.is_relative_to(root)), key=lambda root: len(root.parts))


def _around(place: Path, roots: tuple[Path, ...]) -> bool:
    return any(place.is_relative_to(root) for root in roots)
