"""The form of an answer that a client asks for: plain text, some JSON, or JSON of a schema; the same in both dialects."""

from typing import Any

import msgspec

from codex_proxy.dialects.bounds import PassedOn
from codex_proxy.dialects.schema import check_strict
from codex_proxy.dialects.strictable import made_strict
from codex_proxy.history import Message, Text

_JSON_ONLY = "Answer with one JSON value and nothing else: no prose around it, no Markdown fence."


class OutputFormat(msgspec.Struct, frozen=True):
    """Plain text, or JSON in one of two ways. `schema`: what Codex enforces, as JSON text; `optional`: of it, see `strictable.py`.
    `instruction`: what the model is asked for instead, and `checked`: the schema that its answer is held to.
    """

    schema: str | None = None
    instruction: str | None = None
    checked: str | None = None
    optional: frozenset[str] = frozenset()

    @property
    def is_json(self) -> bool:
        return self.schema is not None or self.instruction is not None

    def as_history(self) -> tuple[Message, ...]:
        """What goes before the input."""
        return (Message("developer", (Text(self.instruction),)),) if self.instruction else ()


def json_object() -> OutputFormat:
    """Any JSON object."""
    return OutputFormat(instruction=f"{_JSON_ONLY} The value is an object.", checked='{"type":"object"}')


def json_schema(schema: dict[str, Any], *, strict: bool, place: str) -> OutputFormat:
    """JSON of a schema. Raises InvalidRequest for one that is called strict, and is refused by strict mode.

    Another is made strict where that leaves its meaning; else it is asked for in words, and the answer checked.
    """
    text = PassedOn(place).text_of(schema, place)
    if strict:
        check_strict(schema, place)
        return OutputFormat(schema=text)
    if (made := made_strict(schema)) is not None:
        return OutputFormat(schema=PassedOn(place).text_of(made.schema, place), optional=made.optional)
    return OutputFormat(instruction=f"{_JSON_ONLY} The value fits this JSON Schema: {text}", checked=text)
