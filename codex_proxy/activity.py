"""Activity: what a turn is doing this second, read off its events as they pass. Pure: the caller brings the clock.

One line, safe to show: one line of a command, the names of files, a tool's name. Never what was asked, thought or answered.
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
_READ = 4 * _LONGEST  # characters of a text that are looked at: a command can be as long as its author likes
_FILES_NAMED = 3

Kind = Literal["starting", "waiting", "retrying", "thinking", "writing", "command", "patch", "mcp_call", "search", "tool_call"]


class Doing(msgspec.Struct, frozen=True):
    """`kind`: starting is before Codex has the turn, waiting is for the model provider, retrying after it has
    failed. `since` is the caller's clock.
    """

    kind: Kind
    text: str
    since: float


class Activity:
    """Of one turn."""

    def __init__(self, now: float) -> None:
        self.doing = Doing("starting", "", now)
        self._open: dict[str, Doing] = {}  # work that has begun and not ended, latest last

    def note(self, event: TurnEvent, now: float) -> bool:
        """Take an event in. True when it changes what the turn is doing."""
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
            case _:  # a plan, progress, a record, an end: nothing else is done because of them
                pass
        return self.doing is not before

    def _become(self, kind: Kind, now: float) -> None:
        if self.doing.kind != kind:
            self.doing = Doing(kind, "", now)

    def _wait(self, now: float) -> None:
        """For the work that is still open, else for the provider."""
        if self._open:
            self.doing = next(reversed(self._open.values()))
        else:
            self._become("waiting", now)


def one_line(text: str) -> str:
    """The first line with anything in it: no control or format characters (terminal codes, bidi overrides), not too long."""
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
