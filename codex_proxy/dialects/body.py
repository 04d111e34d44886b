"""Request bodies: bytes -> struct. Every problem becomes an InvalidRequest that names the place."""

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar, get_args

import msgspec

from codex_proxy.dialects import outline
from codex_proxy.dialects.common import Effort
from codex_proxy.errors import InvalidRequest, UnsupportedParameter

_T = TypeVar("_T")
_PLACE = re.compile(r"(.*?)(?: - at (?:`key` in )?`\$\.?(.*)`)?", re.DOTALL)
_LONGEST = 200  # characters of a problem or a place repeated to the client
_SHOWN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SHOWN_AT_MOST = 40
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_HALF_WITHIN = 2**20  # bytes; a search of this length takes up to 60 ms
# an escaped surrogate that is not half of a pair, after everything that is none
_HALF = re.compile(rb"(?:[^\\]++|\\[^u]|\\u(?!d[89a-f])|\\ud[89ab]..\\ud[c-f]..)*+(\\ud[89a-f]..)", re.DOTALL | re.IGNORECASE)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)(?:`|$)", re.DOTALL)


def decode(body: bytes | bytearray, type_: type[_T], foreign: Mapping[str, str] | None = None) -> _T:
    """Decode a JSON object. Raises InvalidRequest; `param` is the path of the member at fault, like messages[0].content.

    `foreign` maps members of the other dialect to advice for the client; a body with one raises UnsupportedParameter.
    """
    try:
        outline.check(body)
        _refuse(foreign or {}, body)
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {_half_a_character(body) or error}.") from error


def convert(value: object, type_: type[_T], place: str) -> _T:
    """Convert a part of a decoded body, at `place`. Raises InvalidRequest like `decode`."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), place) from error


def ignored(body: bytes | bytearray, type_: type[msgspec.Struct], without_effect: tuple[str, ...]) -> tuple[str, ...]:
    """Return the members of a decoded body that have no effect: those in `without_effect` and those unknown to `type_`.

    Only names that fit in a header are returned, and a bounded number of them. Members that are null are left out.
    """
    given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    asked = (name for name, value in given.items() if not _is_null(value))
    idle = [name for name in asked if name in without_effect or name not in type_.__struct_fields__]
    return shown(idle)


def shown(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that fit in a header, and a bounded number of them."""
    return tuple(itertools.islice((name for name in names if _SHOWN_NAME.fullmatch(name)), _SHOWN_AT_MOST))


def _refuse(foreign: Mapping[str, str], body: bytes | bytearray) -> None:
    if not any(f'"{name}"'.encode() in body for name in foreign):
        return
    given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    for name, advice in foreign.items():
        if name in given and not _is_null(given[name]):
            raise UnsupportedParameter(f"Unsupported parameter: {name!r}. {advice}", param=name)


def _is_null(value: msgspec.Raw) -> bool:
    return bytes(value) == b"null"


def _invalid(text: str, inside: str | None = None) -> InvalidRequest:
    """The error for msgspec's `text` about a value, which is the member `inside` of the body or the body itself."""
    found = _PLACE.fullmatch(text)
    problem, place = (_short(found[1]), found[2] and _short(found[2])) if found else (_short(text), None)
    place = ".".join(filter(None, (inside, place)))
    if lacking := _MISSING.match(problem):
        member = f"{place}.{lacking[1]}" if place else lacking[1]
        return InvalidRequest(f"Missing required parameter: {member!r}.", param=member)
    if unknown := _UNKNOWN.match(problem):
        member = f"{place}.{unknown[1]}" if place else unknown[1]
        return InvalidRequest(f"Unknown parameter: {member!r}.", param=member)
    if not place:
        return InvalidRequest(f"The body is not a valid request: {problem}.")
    valid = f" It can be: {', '.join(get_args(Effort))}." if place.endswith("effort") else ""
    return InvalidRequest(f"Invalid value for {place!r}: {problem}.{valid}", param=place)


def _half_a_character(body: bytes | bytearray) -> str | None:
    """Say so if a text has half of a surrogate pair, which the decoder does not name; else None."""
    found = _HALF.match(body, 0, _HALF_WITHIN)
    if found is None:
        return None
    half = found[1].decode("ascii", "replace")
    return f"a text has half of a surrogate pair, {half} (byte {found.start(1)}); it was cut in the middle of a character"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
