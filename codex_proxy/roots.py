"""Compare the roots, the directories in which turns work, with each other and with paths that must not lie in them."""

import os
from collections.abc import Iterable
from pathlib import Path


def root_of(place: Path, roots: Iterable[Path]) -> Path | None:
    """The root that contains a file or directory, by its name or through links."""
    absolute = place.absolute()
    steps = (step.parent.resolve() / step.name for step in (absolute, *absolute.parents))
    places = (*steps, place.resolve())  # including the steps to it, because a link inside a root can be replaced
    return next((root for root in roots for one in places if one.is_relative_to(root)), None)


def nested(roots: Iterable[Path]) -> tuple[Path, Path] | None:
    """A root and another one inside it: anyone who can write to the outer one can replace the inner one by a link."""
    some = sorted(set(roots))
    return next(((outer, inner) for outer in some for inner in some if outer != inner and inner.is_relative_to(outer)), None)


def nesting(roots: Iterable[Path]) -> list[str]:
    """The message for the operator about nested roots, if there are any."""
    if (pair := nested(roots)) is None:
        return []
    return [
        f"The workspace {pair[1]} lies inside {pair[0]}: a command there could put a link in its place. "
        "Change CODEX_WORKDIR or CODEX_WORKSPACES, or set CODEX_SANDBOX_CEILING=read-only."
    ]


def why_unusable(directory: str) -> str | None:
    """Why a directory cannot be used; None when it can be entered and read."""
    if os.access(directory, os.R_OK | os.X_OK) and os.path.isdir(directory):
        return None
    return "the server may not enter and read it" if os.path.isdir(directory) else "the directory does not exist"


def unusable(workspaces: Iterable[Path]) -> list[str]:
    """The message for the operator about each of CODEX_WORKSPACES that no turn can use."""
    found = ((place, why_unusable(str(place))) for place in workspaces)
    return [f"CODEX_WORKSPACES: {place} cannot be used: {why}." for place, why in found if why is not None]
