"""What somebody probably meant who typed a name that does not exist."""

import difflib
from collections.abc import Iterable

_CUTOFF = 0.6


def did_you_mean(typed: str, known: Iterable[str], prefix: str = "") -> str:
    """ " Did you mean …?", to be put after a sentence; empty where nothing is near. `prefix` goes before the name."""
    names = list(known)
    lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(typed.lower(), lower, n=1, cutoff=_CUTOFF)
    begun = [name for name in names if len(typed) > 1 and name.lower().startswith(typed.lower())]
    meant = lower[found[0]] if found else begun[0] if begun else None
    return f" Did you mean {prefix}{meant}?" if meant else ""
