"""The scripts of models in code mode: whether those of a turn are over, and the process in which the CLI runs them.

Such a model sees `exec`, whose JavaScript calls the other tools. The CLI runs it in `codex-code-mode-host`, a child of its own that
lives as long as the CLI; each thread has its own values there, and a finished script leaves nothing behind. But a script may go on
after its turn (0.163.0 to 0.171.0).
"""

import os
import re
from collections.abc import Iterable

import msgspec

from codex_proxy.codex import descendants, wire

_HOST = "codex-code-mode-host"
_OVER = ("Script completed\n", "Script failed\n", "Script terminated\n")  # the last because the model wanted it
_NOT_RUN = ("exec expects ", "exec pragma ")  # it is empty, or its first line has options of a wrong form (0.147.0 to 0.171.0)
_GOES_ON = re.compile(r"Script running with cell ID (\S+)\n")  # 0.147.0 to 0.171.0
_UNKNOWN = ""  # a cell that nothing waits for


class _Wait(msgspec.Struct):
    """The arguments of `wait`."""

    cell_id: str = _UNKNOWN


class Scripts:
    """The scripts that a turn's model has run, if it `ran` any. `over`: every one of them has ended."""

    def __init__(self) -> None:
        self._calls: set[str] = set()  # ids
        self._unanswered: set[str] = set()
        self._going_on: set[str] = set()  # cells, which is what Codex calls scripts that it has answered before their end
        self._waits: dict[str, str] = {}  # id of a call -> cell

    @property
    def ran(self) -> bool:
        return bool(self._calls)

    @property
    def over(self) -> bool:
        return not self._unanswered and not self._going_on

    def note(self, item: wire.RawItem) -> None:
        """Hear of an item that the model wrote or was given.

        A script can add outputs of any text to its call, which have a name (0.147.0 to 0.171.0). Only the one without a name says
        whether it goes on, and a turn that is cut off may have none. Of one that goes on the output of `wait` says it.
        """
        text = "".join(item.output_texts[:1])
        match item.type:
            case "custom_tool_call" if item.name == "exec":
                self._calls.add(item.call_id)
                self._unanswered.add(item.call_id)
            case "custom_tool_call_output" if item.call_id in self._calls and not item.name:
                self._unanswered.discard(item.call_id)
                if not text.startswith((*_OVER, *_NOT_RUN)):
                    self._going_on.add(found[1] if (found := _GOES_ON.match(text)) else _UNKNOWN)
            case "function_call" if item.name == "wait" and item.group is None:
                self._waits[item.call_id] = _cell(item.arguments)
            case "function_call_output" if text.startswith(_OVER) and self._waits.get(item.call_id):
                self._going_on.discard(self._waits[item.call_id])


def _cell(arguments: str) -> str:
    try:
        return msgspec.json.decode(arguments, type=_Wait).cell_id
    except msgspec.MsgspecError:
        return _UNKNOWN  # Codex will refuse it


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
