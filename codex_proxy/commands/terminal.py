"""Terminal output: colours and tables.

Colour is used only on a terminal, and not if NO_COLOR is set (https://no-color.org) or TERM is dumb.
"""

import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TextIO

import msgspec

_RESET = "\x1b[0m"


class Style(msgspec.Struct, frozen=True):
    """Text styles for one stream."""

    colour: bool = False

    def bold(self, text: str) -> str:
        return self._in("1", text)

    def dim(self, text: str) -> str:
        return self._in("2", text)

    def good(self, text: str) -> str:
        return self._in("32", text)

    def warn(self, text: str) -> str:
        return self._in("33", text)

    def bad(self, text: str) -> str:
        return self._in("31", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}{_RESET}" if self.colour and text else text


def style_of(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """Return the style for a stream, from its present state."""
    return Style(stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")


def columns() -> int:
    """Return the width of the terminal; 80 if there is none."""
    return shutil.get_terminal_size().columns


def width(text: str) -> int:
    """Return the number of terminal columns that `text` takes."""
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def fitted(text: str, room: int) -> str:
    """Return `text`, cut with an ellipsis if it does not fit in `room` columns."""
    if width(text) <= room:
        return text
    kept = ""
    for char in text:
        if width(kept + char) > room - 1:
            break
        kept += char
    return kept + "…"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], style: Style) -> str:
    """Format a table with two spaces between columns; the last column is not bounded."""
    widths = [max(map(width, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cell + " " * (room - width(cell)) for cell, room in zip(cells, widths, strict=True)]
        return "  ".join(padded).rstrip()

    return "\n".join([style.bold(line(header)), *map(line, rows)])
