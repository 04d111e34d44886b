"""Near misses: names in the environment that were probably meant for a setting of ours."""

import difflib
from collections.abc import Iterable, Sequence

_OURS = ("CODEX_PROXY_", "PROXY_", "CODEX_", "RATE_LIMIT", "LOG_")


def near_misses(given: Iterable[str], known: Sequence[str]) -> list[str]:
    """A warning for each name that looks like ours and is not."""
    warnings = []
    for name in given:
        if name in known or not name.startswith(_OURS):
            continue
        bare = name.removeprefix("CODEX_PROXY_")
        tried = (name, bare, f"PROXY_{bare}", f"CODEX_{bare}")
        if close := [found for word in tried for found in difflib.get_close_matches(word, known, n=1, cutoff=0.84)]:
            warnings.append(f"{name} is not a setting. Did you mean {close[0]}?")
    return warnings
