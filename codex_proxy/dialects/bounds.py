"""How much one request may bring: the one table of bounds, each with its reason. Over one: 400, naming the place.

Sizes in bytes are the gate's (web/gates/bodies.py, 413 and 503); what an image may be is in images.py. A new kind of item or tool
is covered by VALUES, DEPTH and ITEMS as it is; a list of its own is counted with `at_most`, JSON that is passed on to Codex goes
through `PassedOn`.
"""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from codex_proxy.errors import InvalidRequest

# Of a body as a whole, before anything is made of it. A value costs up to 100 bytes of memory: 50 MB, and 0.3 s of a thread.
VALUES = 500_000
# Codex answers no line at all that is nested deeper than 127. A tool's schema begins 4 levels down in it, in a namespace 6
# (0.147.0 to 0.163.0). No schema that is in use has 20.
DEPTH = 100
# Messages of a chat request, items of a Responses request, items of the conversation that a request continues. Codex takes
# 20,000 in 3 s of a loaded machine; what a model can read is fewer by far.
ITEMS = 20_000
# OpenAI's bound, for what stands in `tools`; and with those in namespaces, of which a client with many MCP servers has hundreds.
TOOLS, ALL_TOOLS = 128, 1024
# Of all tools, and of an answer's schema: Codex takes a second for 100,000 (0.163.0), and each model call carries them.
SCHEMA_VALUES = 100_000
# OpenAI's bounds of a strict schema: properties in all its objects together, and how deep it is.
PROPERTIES, STRICT_DEPTH = 5000, 12
# Every answer repeats them up to three times over. The first in characters: the most that Codex takes for an input.
INSTRUCTIONS, TOOL_BYTES = 1_048_576, 4_194_304
# Of a stop sequence, in characters: text that may be its beginning is compared with it at every delta.
STOP = 256
# serde_json, which Codex reads its lines with: a larger one is a refusal of the whole line.
INTEGERS = (-(2**63), 2**64 - 1)

_SHOWN_STEPS = 12  # of a place
_LONGEST_STEP = 64  # characters


class Place:
    """Where something stands in a body. Its text is made only when it is asked for: a name may have a megabyte."""

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
    """Like messages[0].content; of a long one the beginning."""
    shown = [f"[{step}]" if isinstance(step, int) else f".{_short(step)}" for step in steps[:_SHOWN_STEPS]]
    return "".join(shown).removeprefix(".") + ("…" if len(steps) > _SHOWN_STEPS else "")


def at_most(most: int, number: int, what: str, place: str) -> None:
    """Raises InvalidRequest for more than `most` of `what`, like "messages"."""
    if number > most:
        raise InvalidRequest(f"A request may have {most:,} {what}; this one has {number:,}.", param=place)


class PassedOn:
    """What of one request goes to Codex as it is, and back to the client in every answer: checked, and counted together."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._values = 0
        self._size = 0

    def text(self, text: str) -> str:
        """The text, counted. Raises InvalidRequest."""
        self._size += len(text)
        if self._size > TOOL_BYTES:
            raise InvalidRequest(f"The schemas and descriptions together are over {TOOL_BYTES // 2**20} MB.", param=self._place)
        return text

    def text_of(self, value: Any, place: str) -> str:  # Any: JSON
        """The JSON text of a value that stands at `place`. Raises InvalidRequest, also for a number out of range."""
        for found, where in _walk(value, Place(place)):
            self._values += 1
            if isinstance(found, int) and not INTEGERS[0] <= found <= INTEGERS[1]:
                raise InvalidRequest("Integers are limited to 64 bits here.", param=str(where))
            if isinstance(found, float) and not math.isfinite(found):
                raise InvalidRequest("The number is out of range.", param=str(where))
        at_most(SCHEMA_VALUES, self._values, "values in its schemas", self._place)
        return self.text(msgspec.json.encode(value).decode())


def _walk(value: Any, place: Place) -> Iterator[tuple[Any, Place]]:  # Any: JSON
    """Each value inside, the outer before the inner."""
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
