"""Find the JSON in an answer, and check it against a schema where the provider does not enforce it.

Neither the client's schema nor the model's text may cost much: patterns take linear time, nothing is fetched, and a schema with
circular references, or one that expands beyond a limit, is not checked; any JSON (an object if the schema says so) is accepted.
"""

import re
from typing import Any

import jsonschema_rs
import msgspec

_FENCED = re.compile(r"```[\w+-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)
_MOST_STEPS = 20_000  # parts of a schema with its references followed
_NOT_FOLLOWED = ("$dynamicRef", "$recursiveRef", "$id", "$anchor", "id")
_MAX_DEPTH = 150  # levels of a schema with its references followed
_TOLD = 300  # characters of a problem


def span(text: str) -> tuple[int, int]:
    """Start and end of the JSON in an answer: the whole text, or the inside of its only code fence."""
    if _is_json(text):
        return 0, len(text)
    fences = list(_FENCED.finditer(text))
    if len(fences) == 1 and _is_json(fences[0][1]):
        return fences[0].span(1)
    return 0, len(text)


def problem(text: str, schema: str) -> str | None:
    """Why an answer does not fit a JSON Schema, worded for the model; None when it fits."""
    begin, end = span(text)
    try:
        value = msgspec.json.decode(text[begin:end])
    except msgspec.DecodeError as error:
        return f"it is not valid JSON ({error})"
    wanted = msgspec.json.decode(schema)
    if _steps(wanted) is None:
        wanted = {"type": "object"} if wanted.get("type") == "object" else {}
    try:
        validator = jsonschema_rs.validator_for(wanted, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, ValueError):
        return None  # not a valid schema
    found = next(iter(validator.iter_errors(value)), None)
    if found is None:
        return None
    place = "".join(f"[{step!r}]" for step in found.instance_path)
    return f"{found.message[:_TOLD]}{f' at {place[:_TOLD]}' if place else ''}"


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _refuse(address: str) -> Any:  # Any: it never returns
    raise ValueError(f"nothing is fetched: {address}")


def _steps(schema: Any) -> int | None:  # Any: JSON
    """Number of the schema's parts with its references followed; None when that is endless, too large or unknown."""
    known: dict[int, int] = {}
    under_way: set[int] = set()

    def count(part: Any, depth: int) -> int:
        if not isinstance(part, dict | list):
            return 0
        if id(part) in known:
            return known[id(part)]
        if id(part) in under_way or depth > _MAX_DEPTH:
            raise RecursionError
        under_way.add(id(part))
        total = 1 + sum(count(inner, depth + 1) for inner in (part.values() if isinstance(part, dict) else part))
        if isinstance(part, dict):
            if any(isinstance(part.get(word), str) for word in _NOT_FOLLOWED):
                raise RecursionError
            if isinstance(part.get("$ref"), str):
                total += count(_target(schema, part["$ref"]), depth + 1)
        if total > _MOST_STEPS:
            raise RecursionError
        under_way.discard(id(part))
        known[id(part)] = total
        return total

    try:
        return count(schema, 0)
    except (RecursionError, LookupError, ValueError, TypeError):
        return None


def _target(schema: Any, reference: str) -> Any:  # Any: JSON
    if not reference.startswith("#/"):
        raise RecursionError
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        schema = schema[int(name)] if isinstance(schema, list) else schema[name]
    return schema
