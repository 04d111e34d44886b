"""Suggest the name that was probably meant by one that does not exist."""

import difflib
from collections.abc import Iterable, Sequence

_CUTOFF = 0.6
_OURS = ("CODEX_PROXY_", "PROXY_", "CODEX_", "RATE_LIMIT", "LOG_")


def near_misses(given: Iterable[str], known: Sequence[str]) -> list[str]:
    """A warning for each name in the environment that looks like one of our settings but is not."""
    warnings = []
    for name in given:
        if name in known or not name.startswith(_OURS):
            continue
        bare = name.removeprefix("CODEX_PROXY_")
        tried = (name, bare, f"PROXY_{bare}", f"CODEX_{bare}")
        if close := [found for word in tried for found in difflib.get_close_matches(word, known, n=1, cutoff=0.84)]:
            warnings.append(f"{name} is not a setting. Did you mean {close[0]}?")
    return warnings


def did_you_mean(typed: str, known: Iterable[str], prefix: str = "", cutoff: float = _CUTOFF) -> str:
    """The text " Did you mean …?" to append to a sentence; empty if no name is close. `prefix` goes before the name."""
    names = list(known)
    lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(typed.lower(), lower, n=1, cutoff=cutoff)
    beginning = [name for name in names if len(typed) > 1 and name.lower().startswith(typed.lower())]
    meant = lower[found[0]] if found else beginning[0] if beginning else None
    return f" Did you mean {prefix}{meant}?" if meant else ""
