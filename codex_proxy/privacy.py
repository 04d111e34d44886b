"""What others may see of this process: not its memory nor its environment, where the keys are.

Without it any process of the same user reads both in /proc, a command of Codex's in danger-full-access among them.
Children are as visible as ever, once they have begun a program of their own.
"""

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def keep_private() -> None:
    """Close this process to others of its user, debuggers and core dumps included; root still sees it. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
