"""The bounds on one request, in a single table, each with its reason. Exceeding one is a 400 that names the place.

Sizes in bytes are enforced in web/gates/bodies.py (413 and 503); bounds on images are in images.py. A new kind of item or tool is
already covered by VALUES, DEPTH and ITEMS; count a list of its own with `at_most`, and put JSON that is passed on to Codex through
`PassedOn`.
"""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from codex_proxy.errors import InvalidRequest

# In a whole body, checked before any object is created. A value takes up to 100 bytes of memory: 50 MB, and 0.3 s of a thread.
VALUES = 500_000
# Codex does not answer a line nested deeper than 127. In that line, a tool's schema starts 4 levels down, 6 in a namespace (0.147.0
# to 0.163.0). No schema in use is 20 levels deep.
DEPTH = 100
# Messages of a chat request, items of a Responses request, items of the conversation that a request continues. Codex takes 20,000
# in 3 s on a loaded machine; a model can read far fewer.
ITEMS = 20_000
# Bytes of a conversation, of the stored history that a request continues, and of all that holds the items it refers to, since a
# turn takes all of it. The last two have the bound on VALUES too.
HISTORY_BYTES = 64 * 1024 * 1024
# Bytes of a page of items, unless its only item is larger. A client that pages gets the rest with `after`.
PAGE_BYTES = 4 * 1024 * 1024
# Responses and conversations whose items a request refers to: each is looked up on its own. A client that refers to all it has been
# told names a response for each turn.
RESPONSES, CONVERSATIONS = 1000, 100
# OpenAI's bound on `tools`, and ours including namespaces: a client with many MCP servers has hundreds in those.
TOOLS, ALL_TOOLS = 128, 1024
# In all tools together, and in an answer's schema: Codex takes a second for 100,000 (0.163.0), and every model call carries them.
SCHEMA_VALUES = 100_000
# OpenAI's bounds on a strict schema: properties in all its objects together, and levels of nesting.
PROPERTIES, STRICT_DEPTH = 5000, 12
# Every answer repeats these up to three times. The first is in characters, the most that Codex accepts as an input.
INSTRUCTIONS, TOOL_BYTES = 1_048_576, 4_194_304
# Characters of a stop sequence: text that may be its beginning is compared with it at every delta.
STOP = 256
# The range of serde_json, with which Codex reads its lines: one integer outside it makes Codex refuse the whole line.
INTEGERS = (-(2**63), 2**64 - 1)

_SHOWN_STEPS = 12  # steps of a place
_LONGEST_STEP = 64  # characters


class Place:
    """A position in a request body. Its text is built only on demand: a name may be a megabyte long."""

    __slots__ = ("_above", "_step")

    def __init__(self, step: str | int, above: "Place | None" = None) -> None:
        self._step = step
        self._above = above

    def then(self, *steps: str | int) -> "Place":
        place = self
        for step in steps:
            place = Place(step, place)
        return place

    def __str__(self) -> str:
        steps: list[str | int] = []
        place: Place | None = self
        while place is not None:
            steps.append(place._step)
            place = place._above
        return path(steps[::-1])


def path(steps: list[str | int]) -> str:
    """Format a path like messages[0].content; a long one is cut at the end."""
    shown = [f"[{step}]" if isinstance(step, int) else f".{_short(step)}" for step in steps[:_SHOWN_STEPS]]
    return "".join(shown).removeprefix(".") + ("…" if len(steps) > _SHOWN_STEPS else "")


def at_most(most: int, number: int, what: str, place: str) -> None:
    """Raise InvalidRequest for more than `most` of `what`, a plural like "messages"."""
    if number > most:
        raise InvalidRequest(f"A request may have {most:,} {what}; this one has {number:,}.", param=place)


class PassedOn:
    """Checks and counts together what one request passes to Codex unchanged and every answer repeats."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._values = 0
        self._size = 0

    def text(self, text: str) -> str:
        """Count a text and return it. Raises InvalidRequest."""
        self._size += len(text)
        if self._size > TOOL_BYTES:
            raise InvalidRequest(f"The schemas and descriptions together are over {TOOL_BYTES // 2**20} MB.", param=self._place)
        return text

    def text_of(self, value: Any, place: str) -> str:  # Any: JSON
        """Return the JSON text of a value at `place`. Raises InvalidRequest, also for a number out of range."""
        for found, where in _walk(value, Place(place)):
            self._values += 1
            if isinstance(found, int) and not INTEGERS[0] <= found <= INTEGERS[1]:
                raise InvalidRequest("Integers are limited to 64 bits here.", param=str(where))
            if isinstance(found, float) and not math.isfinite(found):
                raise InvalidRequest("The number is out of range.", param=str(where))
        at_most(SCHEMA_VALUES, self._values, "values in its schemas", self._place)
        return self.text(msgspec.json.encode(value).decode())


def _walk(value: Any, place: Place) -> Iterator[tuple[Any, Place]]:  # Any: JSON
    """Yield each value inside, outer before inner."""
    waiting: list[tuple[Any, Place]] = [(value, place)]
    while waiting:
        found, where = waiting.pop()
        yield found, where
        if isinstance(found, dict):
            waiting += ((inner, Place(name, where)) for name, inner in found.items())
        elif isinstance(found, list):
            waiting += ((inner, Place(index, where)) for index, inner in enumerate(found))


def _short(step: str) -> str:
    return step if len(step) <= _LONGEST_STEP else step[:_LONGEST_STEP] + "…"
