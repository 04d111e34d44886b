"""Request bodies: bytes -> struct. Every problem becomes an InvalidRequest that names the place."""

import re
from collections.abc import Mapping
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
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error


def convert(value: object, type_: type[_T], place: str) -> _T:
    """Convert a part of a decoded body, at `place`. Raises InvalidRequest like `decode`."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        found = _invalid(str(error))
        raise InvalidRequest(found.message, param=f"{place}.{found.param}" if found.param else place) from error


def ignored(body: bytes | bytearray, type_: type[msgspec.Struct], without_effect: tuple[str, ...]) -> tuple[str, ...]:
    """Return the members of a decoded body that have no effect: those in `without_effect` and those unknown to `type_`.

    Only names that fit in a header are returned, and a bounded number of them. Members that are null are left out.
    """
    given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    asked = (name for name, value in given.items() if not _is_null(value))
    idle = [name for name in asked if name in without_effect or name not in type_.__struct_fields__]
    return tuple(name for name in idle if _SHOWN_NAME.fullmatch(name))[:_SHOWN_AT_MOST]


def _refuse(foreign: Mapping[str, str], body: bytes | bytearray) -> None:
    if not any(f'"{name}"'.encode() in body for name in foreign):
        return
    given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    for name, advice in foreign.items():
        if name in given and not _is_null(given[name]):
            raise UnsupportedParameter(f"Unsupported parameter: {name!r}. {advice}", param=name)


def _is_null(value: msgspec.Raw) -> bool:
    return bytes(value) == b"null"


def _invalid(text: str) -> InvalidRequest:
    found = _PLACE.fullmatch(text)
    problem, place = (_short(found[1]), found[2] and _short(found[2])) if found else (_short(text), None)
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


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
