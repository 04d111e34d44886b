"""How much a test does that does one thing many times: what shows the property in every run, or all of it with LONG_TESTS=1."""

import os

LONG = os.environ.get("LONG_TESTS") == "1"


def often(usual: int, long: int) -> int:
    """How many times: in a usual run, and in a long one."""
    return long if LONG else usual
