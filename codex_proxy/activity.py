"""What a turn is doing right now, derived from its events. Pure: the caller supplies the time.

The result is one line that is safe to show: one line of a command, file names or a tool's name, never prompts, reasoning or
answers.
"""

import posixpath
import unicodedata
from typing import Literal

import msgspec

from codex_proxy.turns import (
    Command,
    McpCall,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    Patch,
    ReasoningCompleted,
    ReasoningDelta,
    ReasoningStarted,
    Search,
    ToolCalled,
    TurnEvent,
    TurnStarted,
    Waiting,
    Work,
    WorkCompleted,
    WorkStarted,
)

_LONGEST = 120  # characters
_READ = 4 * _LONGEST  # characters examined of a text, since a command can be of any length
_FILES_NAMED = 3

Kind = Literal["starting", "waiting", "retrying", "thinking", "writing", "command", "patch", "mcp_call", "search", "tool_call"]


class Doing(msgspec.Struct, frozen=True):
    """A turn's current activity. `since` is in the caller's time.

    Kinds: starting is before Codex has the turn, waiting is for the model provider, retrying is after the provider has failed.
    """

    kind: Kind
    text: str
    since: float


class Activity:
    """Tracks the activity of one turn."""

    def __init__(self, now: float) -> None:
        self.doing = Doing("starting", "", now)
        self._open: dict[str, Doing] = {}  # work in progress by item id, latest last

    def note(self, event: TurnEvent, now: float) -> bool:
        """Take in an event. Returns whether it changes what the turn is doing."""
        before = self.doing
        match event:
            case MessageDelta():
                self._become("writing", now)
            case ReasoningDelta():
                self._become("thinking", now)
            case MessageStarted():
                self._become("writing", now)
            case ReasoningStarted():
                self._become("thinking", now)
            case Waiting(on="provider"):
                self._become("retrying", now)
            case WorkStarted():
                self.doing = self._open[event.item] = _of(event.work, now)
            case WorkCompleted():
                self._open.pop(event.item, None)
                self._wait(now)
            case ToolCalled():
                self.doing = Doing("tool_call", one_line(event.name), now)
            case TurnStarted() | MessageCompleted() | ReasoningCompleted():
                self._wait(now)
            case _:  # plans, progress, records and the end change nothing
                pass
        return self.doing is not before

    def _become(self, kind: Kind, now: float) -> None:
        if self.doing.kind != kind:
            self.doing = Doing(kind, "", now)

    def _wait(self, now: float) -> None:
        """Show the latest work in progress, else that the turn waits for the provider."""
        if self._open:
            self.doing = next(reversed(self._open.values()))
        else:
            self._become("waiting", now)


def one_line(text: str) -> str:
    """The first non-blank line, shortened, without control or format characters (terminal codes, bidi overrides)."""
    lines = (line.strip() for line in text[:_READ].splitlines())
    line = next((line for line in lines if line), "")
    shown = "".join(character for character in line if unicodedata.category(character)[0] != "C")
    more = len(shown) > _LONGEST or len(text.strip()) > len(line)
    return f"{shown[: _LONGEST - 1].rstrip()}…" if more else shown


def _of(work: Work, now: float) -> Doing:
    match work:
        case Command():
            return Doing("command", one_line(work.command), now)
        case Patch():
            names = [posixpath.basename(path) for path, _, _ in work.changes]
            rest = len(names) - _FILES_NAMED
            told = ", ".join(names[:_FILES_NAMED]) + (f" and {rest} more" if rest > 0 else "")
            return Doing("patch", one_line(told), now)
        case McpCall():
            return Doing("mcp_call", one_line(f"{work.server}.{work.tool}"), now)
        case Search():
            return Doing("search", one_line(work.query), now)
