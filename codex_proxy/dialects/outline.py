"""The outline of a body: problems that can be found before any object is created.

These are too many values, too deep nesting, duplicate members, and bytes that are not UTF-8. The body is scanned in pieces, so that
other threads get to run; only one piece and the names in open objects are held. Whether the rest is JSON is left to the decoder.
"""

import codecs
import itertools
import json
from collections.abc import Iterable, Iterator

from codex_proxy.dialects import bounds
from codex_proxy.errors import InvalidRequest

_PIECE = 65_536  # bytes
_STRUCTURE = frozenset(b"{}[],:")
_COMMA, _COLON, _OBJECT, _OPENING = *b",:{", b"{["
_OTHERS = bytes(set(range(256)) - _STRUCTURE)
_NO_VALUES = _OTHERS + b"}]"
_BACKSLASH, _QUOTE = b"\x01\x01", b"\x01\x02"  # stand-ins for their escaped forms: JSON text has no such bytes
_SHOWN_STEPS = 4


def check(body: bytes | bytearray) -> None:
    """Check a body. Raises InvalidRequest."""
    outline = _Outline()
    for piece in _pieces(body):
        outline.feed(piece)


def values(parts: Iterable[bytes | bytearray], most: int) -> int:
    """Return how many values parts of stored JSON have together, as they count in a body. Beyond `most` it reads no further."""
    found = 0
    for part in parts:
        in_string = False
        for piece in _pieces(part):
            texts = piece.split(b'"')
            found += len(b"".join(texts[in_string::2]).translate(None, _NO_VALUES))
            in_string ^= len(texts) % 2 == 0
            if found > most:
                return found
    return found


def _pieces(body: bytes | bytearray) -> Iterator[bytes]:
    """Yield the body in pieces that split no escape, with escaped quotes hidden.

    Raises InvalidRequest for bytes that are not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    start = 0
    while start < len(body):
        piece = bytes(body[start : start + _PIECE])
        start += len(piece)
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece += bytes(body[start : start + 1])
            start += 1
        try:
            if not piece.isascii() or decoder.getstate()[0]:
                decoder.decode(piece, final=start >= len(body))
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The body is not valid JSON: {error.reason}.") from error
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", _BACKSLASH).replace(b'\\"', _QUOTE)
        yield piece


class _Outline:
    def __init__(self) -> None:
        self._in_string = False
        self._string: list[bytes] = []  # pieces of the latest string
        self._names: list[set[bytes] | None] = []  # for each open object; None for an array
        self._steps: list[str | int] = []  # the current position in each of them
        self._values = 0

    def feed(self, piece: bytes) -> None:
        parts = piece.split(b'"')
        for number, part in enumerate(parts):
            if number:
                self._in_string = not self._in_string
                if self._in_string:
                    self._string.clear()
            if self._in_string:
                self._string.append(part)
            elif part:
                self._structure(part.translate(None, _OTHERS))

    def _structure(self, marks: bytes) -> None:
        self._values += len(marks)  # each mark starts a value, except the closing ones
        for mark in marks:
            if mark == _COMMA:
                if self._names and self._names[-1] is None:
                    self._steps[-1] += 1  # type: ignore[operator]  # an array's step is a number
            elif mark == _COLON:
                self._name()
            elif mark in _OPENING:
                self._open(set() if mark == _OBJECT else None)
            else:
                self._values -= 1
                if self._names:
                    self._names.pop()
                    self._steps.pop()
        if self._values > bounds.VALUES:
            raise InvalidRequest(f"The body has more than {bounds.VALUES:,} values.", param=self._place())

    def _open(self, names: set[bytes] | None) -> None:
        self._names.append(names)
        self._steps.append("" if names is not None else 0)
        if len(self._names) > bounds.DEPTH:
            raise InvalidRequest(f"The body is nested too deeply: at most {bounds.DEPTH} levels.", param=self._place())

    def _name(self) -> None:
        names = self._names[-1] if self._names else None
        if names is None:
            return  # not JSON
        name = b"".join(self._string)
        if b"\x01" in name:
            name = name.replace(_BACKSLASH, b"\\\\").replace(_QUOTE, b'\\"')
        if b"\\" in name:
            name = _unescaped(name)
        if name in names:
            raise InvalidRequest("The body is not valid JSON: an object has the same member twice.")
        names.add(name)
        self._steps[-1] = name[:300].decode(errors="replace")

    def _place(self) -> str | None:
        """Return the current position; None outside any member of the body."""
        steps = list(itertools.takewhile(lambda step: step != "", self._steps[:_SHOWN_STEPS]))
        return bounds.path(steps) if steps and isinstance(steps[0], str) else None


def _unescaped(name: bytes) -> bytes:
    try:
        return str(json.loads(b'"' + name + b'"')).encode(errors="surrogatepass")
    except ValueError:
        return name  # not JSON
