"""The body of a request: bytes -> struct. Whatever is wrong with it becomes an InvalidRequest that names the place."""

import json
import re
from typing import Any, TypeVar

import msgspec

from codex_proxy.errors import InvalidRequest

_T = TypeVar("_T")
_PLACE = re.compile(r"(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")


def decode(body: bytes, type_: type[_T]) -> _T:
    """Decode a JSON object. Raises InvalidRequest; `param` is the path of the member at fault, like messages[0].content."""
    try:
        request = msgspec.json.decode(body, type=type_)
        json.loads(body, object_pairs_hook=_no_duplicates, parse_int=str, parse_float=str)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply.") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error
    return request


def members(body: bytes) -> list[str]:
    """The names of the object's members, in order; for a body that `decode` has accepted."""
    return list(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))


def _no_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len({name for name, _ in pairs}):
        raise ValueError("an object has the same member twice")


def _invalid(text: str) -> InvalidRequest:
    found = _PLACE.fullmatch(text)
    problem, place = (found[1], found[2]) if found else (text, None)
    if lacking := _MISSING.match(problem):
        member = f"{place}.{lacking[1]}" if place else lacking[1]
        return InvalidRequest(f"Missing required parameter: {member!r}.", param=member)
    if unknown := _UNKNOWN.match(problem):
        member = f"{place}.{unknown[1]}" if place else unknown[1]
        return InvalidRequest(f"Unknown parameter: {member!r}.", param=member)
    if not place:
        return InvalidRequest(f"The body is not a valid request: {problem}.")
    return InvalidRequest(f"Invalid value for {place!r}: {problem}.", param=place)
