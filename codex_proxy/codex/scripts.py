"""The scripts of models in code mode: whether those of a turn are over, and the process in which the CLI runs them.

Such a model sees `exec`, whose JavaScript calls the other tools. The CLI runs it in `codex-code-mode-host`, a child of its own that
lives as long as the CLI; each thread has its own values there, and a finished script leaves nothing behind. But a script may go on
after its turn (0.163.0 to 0.171.0).
"""

import os
from collections.abc import Iterable

from codex_proxy.codex import descendants, wire

_HOST = "codex-code-mode-host"
_OVER = ("Script completed\n", "Script failed\n")


class Scripts:
    """The scripts that a turn's model has run, if it `ran` any. `over`: every one of them has ended."""

    def __init__(self) -> None:
        self._calls: set[str] = set()  # ids
        self._unanswered: set[str] = set()
        self._going_on = False

    @property
    def ran(self) -> bool:
        return bool(self._calls)

    @property
    def over(self) -> bool:
        return not self._unanswered and not self._going_on

    def note(self, item: wire.RawItem) -> None:
        """Hear of an item that the model wrote or was given.

        A script can add outputs of any text to its call, which have a name (0.147.0 to 0.171.0). Only the one without a name says
        whether it goes on, and a turn that is cut off may have none.
        """
        if item.type == "custom_tool_call" and item.name == "exec":
            self._calls.add(item.call_id)
            self._unanswered.add(item.call_id)
        elif item.type == "custom_tool_call_output" and item.call_id in self._calls and not item.name:
            self._unanswered.discard(item.call_id)
            self._going_on |= not "".join(item.output_texts[:1]).startswith(_OVER)


def hosts(pids: Iterable[int], before: frozenset[int]) -> frozenset[int]:
    """Which of these processes run scripts: started from the CLI's directory by a process that was there `before` the turn."""
    return frozenset(pid for pid in pids if _is_host(pid, before))


def _is_host(pid: int, before: frozenset[int]) -> bool:
    try:
        parent = descendants.parent(pid)
        directory = os.path.dirname(os.readlink(f"/proc/{parent}/exe"))
        return parent in before and os.readlink(f"/proc/{pid}/exe") == os.path.join(directory, _HOST)
    except OSError:
        return False  # it has ended
