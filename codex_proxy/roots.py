"""Roots: the directories in which turns work, compared with each other and with what must not lie in them."""

import os
from collections.abc import Iterable
from pathlib import Path


def root_of(place: Path, roots: Iterable[Path]) -> Path | None:
    """The root that a file or directory lies in, by its name or through links."""
    absolute = place.absolute()
    steps = (step.parent.resolve() / step.name for step in (absolute, *absolute.parents))
    places = (*steps, place.resolve())  # what is on the way there, as a link in a root can be replaced
    return next((root for root in roots for one in places if one.is_relative_to(root)), None)


def nested(roots: Iterable[Path]) -> tuple[Path, Path] | None:
    """A root and another that lies inside it: who may write in the outer one can put a link in place of the inner one."""
    some = sorted(set(roots))
    return next(((outer, inner) for outer in some for inner in some if outer != inner and inner.is_relative_to(outer)), None)


def nesting(roots: Iterable[Path]) -> list[str]:
    """What to tell the operator of nested ones, if there are any."""
    if (pair := nested(roots)) is None:
        return []
    return [
        f"The workspace {pair[1]} lies inside {pair[0]}: a command there could put a link in its place. "
        "Change CODEX_WORKDIR or CODEX_WORKSPACES, or set CODEX_SANDBOX_CEILING=read-only."
    ]


def why_unusable(directory: str) -> str | None:
    """Why nothing can work in a directory; None when it can be entered and read."""
    if os.access(directory, os.R_OK | os.X_OK) and os.path.isdir(directory):
        return None
    return "the server may not enter and read it" if os.path.isdir(directory) else "the directory does not exist"
