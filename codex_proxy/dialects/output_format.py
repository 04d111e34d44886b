"""The form of answer that a client asks for: plain text, any JSON, or JSON of a schema; the same in both dialects."""

from typing import Any

import msgspec

from codex_proxy.dialects.bounds import PassedOn
from codex_proxy.dialects.schema import check_strict
from codex_proxy.dialects.strictable import made_strict
from codex_proxy.history import Message, Text

_JSON_ONLY = "Answer with one JSON value and nothing else: no prose around it, no Markdown fence."


class OutputFormat(msgspec.Struct, frozen=True):
    """Plain text, or JSON in one of two ways.

    Either Codex enforces `schema` (JSON text; for its `optional`, see `strictable.py`), or the model gets an `instruction` and the
    answer is checked against the schema `checked`.
    """

    schema: str | None = None
    instruction: str | None = None
    checked: str | None = None
    optional: frozenset[str] = frozenset()

    @property
    def is_json(self) -> bool:
        return self.schema is not None or self.instruction is not None

    def as_history(self) -> tuple[Message, ...]:
        """Return the messages that go before the input."""
        return (Message("developer", (Text(self.instruction),)),) if self.instruction else ()


def json_object() -> OutputFormat:
    """Return the form for any JSON object."""
    return OutputFormat(instruction=f"{_JSON_ONLY} The value is an object.", checked='{"type":"object"}')


def json_schema(schema: dict[str, Any], *, strict: bool, place: str) -> OutputFormat:
    """Return the form for JSON of a schema. Raises InvalidRequest for a `strict` schema that strict mode refuses.

    Any other schema is made strict if that keeps its meaning; otherwise the model is instructed, and the answer is checked.
    """
    text = PassedOn(place).text_of(schema, place)
    if strict:
        check_strict(schema, place)
        return OutputFormat(schema=text)
    if (made := made_strict(schema)) is not None:
        return OutputFormat(schema=PassedOn(place).text_of(made.schema, place), optional=made.optional)
    return OutputFormat(instruction=f"{_JSON_ONLY} The value fits this JSON Schema: {text}", checked=text)
