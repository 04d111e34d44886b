"""Make a value that fits a JSON Schema, using words of the prompt where they may be meant."""

import math
import re
from collections.abc import Mapping
from typing import Any

_DEEPEST = 8  # levels; deeper down, recursive schemas are cut short
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\w)")
_NAME = re.compile(r"(?<=[a-z,:] )[A-Z]\w+(?: [A-Z]\w+)*")  # capitalized words that do not begin a sentence
_QUOTED = re.compile(r"[\"“”']([^\"“”'\n]+)[\"“”']")
_BY_FORMAT = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_WHOLE_SCHEMA = "#"


def fitting(schema: Mapping[str, Any], prompt: str = "") -> Any:
    """A value that fits the schema; deterministic. Any: a JSON value."""
    return _Filling(schema, prompt).value(schema, 0)


class _Filling:
    """Fills in one schema with the first number and the first name of the prompt."""

    def __init__(self, root: Mapping[str, Any], prompt: str) -> None:
        self._root = root
        number = _NUMBER.search(prompt)
        name = _QUOTED.search(prompt)
        self._number = float(number[0]) if number else 1.0
        self._text = name[1] if name else next(iter(_NAME.findall(prompt)), "demo")

    def value(self, schema: Any, depth: int) -> Any:
        """The value for a part of the schema, which may also be `true` or `{}`."""
        if not isinstance(schema, Mapping):
            return self._text
        if "$ref" in schema:
            return self.value(self._referred(str(schema["$ref"])), depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self.value(self._option(options, depth), depth + 1)
        if parts := schema.get("allOf"):
            return self.value(_merged([schema, *parts]), depth + 1)
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        match _type(schema):
            case "object":
                return {name: self.value(part, depth + 1) for name, part in schema.get("properties", {}).items()}
            case "array":
                return self._array(schema, depth)
            case "integer":
                return int(self._bounded(schema))
            case "number":
                return self._bounded(schema)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema)

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        items = schema.get("items", {})
        given = schema.get("prefixItems") or (items if isinstance(items, list) else [])
        found = [self.value(part, depth + 1) for part in given]
        least = schema.get("minItems", 0 if depth > _DEEPEST or given else 1)
        return found + [self.value({} if isinstance(items, list) else items, depth + 1) for _ in range(least - len(found))]

    def _bounded(self, schema: Mapping[str, Any]) -> float | int:
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        lowest = schema.get("minimum", -math.inf if above is None else above + 1)
        highest = schema.get("maximum", math.inf if below is None else below - 1)
        number = max(min(self._number, highest), lowest)
        return int(number) if float(number).is_integer() else number

    def _string(self, schema: Mapping[str, Any]) -> str:
        text = _BY_FORMAT.get(str(schema.get("format")), self._text)
        return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]

    def _option(self, options: list[Any], depth: int) -> Any:
        """The first option that is not null; deep down, the last one that is not a reference."""
        plain = [option for option in options if isinstance(option, Mapping) and option.get("type") != "null"]
        if depth > _DEEPEST:
            plain = [option for option in options if not (isinstance(option, Mapping) and "$ref" in option)] or plain
            return plain[-1]
        return (plain or options)[0]

    def _referred(self, reference: str) -> Any:
        found: Any = self._root
        for step in reference.removeprefix(_WHOLE_SCHEMA).split("/"):
            if step:
                found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
        return found


def _type(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        kinds = next((kind for kind in kinds if kind != "null"), "null")
    return str(kinds) if kinds else ("object" if "properties" in schema else "string")


def _merged(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        merged |= part
        if properties:
            merged["properties"] = properties
    merged.pop("allOf", None)
    return merged
