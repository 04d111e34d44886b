"""Logging setup: one line per record on stderr, as text or JSON, with the ids of the request and the turn that it is about.

Facts are logged as members beside the message: JSON has them as they are, text as key=value at the end of the line. A terminal
shows a record's `terminal` text if it has one (`extra={"members": …, "terminal": …}`), and nothing if that is empty. Prompts,
answers and keys are never logged above debug. journald adds the time, so text lines have none under systemd.
"""

import contextvars
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

Member = str | int | float

_NOTHING: Mapping[str, str] = {}
_said: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("said", default=_NOTHING)
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))  # the levels of syslog(3)
_DEBUG = 7
_DIM = "2"
_COLOURS = {"✓": "32", "✗": "31", "!": "33", "■": "2"}  # of the sign at the start of a line on a terminal
_SIGNS = {logging.DEBUG: "", logging.INFO: "", logging.WARNING: "! ", logging.ERROR: "✗ ", logging.CRITICAL: "✗ "}
_NOT_BARE = frozenset(' "=\\')


@contextmanager
def about(members: Mapping[str, str]) -> Iterator[None]:
    """Add these members to every record of this block and of the tasks that it starts."""
    token = _said.set({**_said.get(), **members})
    try:
        yield
    finally:
        _said.reset(token)


def say_also(members: Mapping[str, str]) -> None:
    """Add these members to all further records of the current `about` block."""
    _said.set({**_said.get(), **members})


def context() -> Mapping[str, str]:
    """The members added to every record in the current context."""
    return _said.get()


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {name}={_shown(value)}" for name, value in _members(record).items())
        return _one_line(super().formatMessage(record)) + pairs


class _Terminal(logging.Formatter):
    """Formats a short line for a person watching: the time, what happened, and the request it is about."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        members = _members(record)
        request = members.pop("request", "")
        if (text := getattr(record, "terminal", None)) is None:
            pairs = "".join(f" {name}={_shown(value)}" for name, value in members.items() if name != "turn")
            text = f"{_SIGNS[record.levelno]}{_one_line(record.getMessage())}{pairs}"
        sign, _, rest = text.partition(" ")
        head = f"{self._in(_COLOURS[sign], sign)} {rest}" if sign in _COLOURS else text
        time_ = self._in(_DIM, time.strftime("%H:%M:%S", time.localtime(record.created)))
        line = f"{time_} {head}{self._in(_DIM, f'  {request}') if request else ''}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _is_shown(record: logging.LogRecord) -> bool:
    return getattr(record, "terminal", None) != ""


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_members(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def _members(record: logging.LogRecord) -> dict[str, Member]:
    """The record's members: those of its context, and those in `extra={"members": …}`."""
    own: Mapping[str, Member] = getattr(record, "members", _NOTHING)
    return {**_said.get(), **own}


def _shown(value: Member) -> str:
    text = str(value)
    bare = text and text.isprintable() and not _NOT_BARE.intersection(text)
    return text if bare else msgspec.json.encode(text).decode()


def _one_line(text: str) -> str:
    """Escape what others (a provider, the CLI) put into a message, so that it cannot start a record or control a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode() for one in text)


class _ForJournal(logging.Formatter):
    """Prefixes each line with its priority as in sd-daemon(3); journald strips it."""

    def __init__(self, lines: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{priority}>{line}" for line in self._lines.format(record).splitlines())


class Terminal(msgspec.Struct, frozen=True):
    """The terminal on which a person watches the log."""

    colour: bool


def set_up(level: str, log_format: str, *, under_systemd: bool, to_journal: bool = False, terminal: Terminal | None = None) -> None:
    """Send all records of `level` and above to stderr. `to_journal`: journald reads it; `terminal`: a person does."""
    handler = logging.StreamHandler(sys.stderr)
    prefix = "" if under_systemd else "%(asctime)s "
    lines: logging.Formatter = _Text(prefix + "%(levelname)s %(name)s %(message)s")
    if log_format == "json":
        lines = _JsonLines()
    elif terminal is not None:
        lines = _Terminal(colour=terminal.colour)
        handler.addFilter(_is_shown)
    handler.setFormatter(_ForJournal(lines) if to_journal else lines)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiosqlite").setLevel(max(logging.INFO, logging.getLogger().level))  # it logs every value, so every prompt
