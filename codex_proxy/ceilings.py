"""The sandbox modes, strictest first, and the check that a server's defaults and ceilings do not contradict each other."""

from collections.abc import Iterator

SANDBOXES = ("read-only", "workspace-write", "danger-full-access")
_DANGER = SANDBOXES[-1]


def over_the_ceilings(sandbox: str, ceiling: str, *, danger: bool, network: bool, network_ceiling: bool) -> Iterator[str]:
    """Yield a sentence for each default that exceeds its ceiling, and for ceilings that contradict each other."""
    for name, mode in (("CODEX_SANDBOX_MODE", sandbox), ("CODEX_SANDBOX_CEILING", ceiling)):
        if mode == _DANGER and not danger:
            yield f"{name}={_DANGER} needs CODEX_ALLOW_DANGER_FULL_ACCESS=1 as well."
            return
    if SANDBOXES.index(sandbox) > SANDBOXES.index(ceiling):
        yield f"CODEX_SANDBOX_MODE={sandbox} is wider than CODEX_SANDBOX_CEILING={ceiling}. Change one of them."
    if network_ceiling:
        return
    if network:
        yield "CODEX_WORKSPACE_NETWORK_ACCESS=1 contradicts CODEX_NETWORK_CEILING=0. Unset one of them."
    if ceiling == _DANGER:
        yield (
            f"CODEX_NETWORK_CEILING=0 contradicts CODEX_ALLOW_DANGER_FULL_ACCESS=1: {_DANGER} has no sandbox that could block "
            f"the network. Unset one of them, or set CODEX_SANDBOX_CEILING={SANDBOXES[-2]}."
        )
