"""Whether a JSON value fits a type that OpenAI publishes in its SDK: members, their types, the values of literals.

The tables of members are built once for each type, when it is first met. What the SDK leaves open (object) is taken as it is.
The exceptions are the caller's: members that are known without being published, those that may be missing although they are
required, and those that may be null.
"""

import collections.abc
import functools
import itertools
import types
from collections.abc import Iterator
from typing import Any, Literal, Required, Union, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

Json = Any  # any JSON
Kind = Any  # a type expression: a class, a TypedDict, a union, a list …

_LISTS = (list, collections.abc.Iterable)
_UNIONS = (Union, types.UnionType)


class Published:
    """A type with its exceptions, by name, at whatever place."""

    def __init__(self, kind: Kind, *, known: frozenset[str], not_needed: frozenset[str], nullable: frozenset[str]) -> None:
        self._kind = kind
        self._known = known
        self._not_needed = not_needed
        self._nullable = nullable

    def problems(self, value: Json) -> Iterator[str]:
        """What is wrong with a value, each with its place."""
        return self._in_any(value, self._kind, "")

    def _in_any(self, value: Json, kind: Kind, at: str) -> Iterator[str]:
        origin: Kind = get_origin(kind)
        if origin in _UNIONS:
            yield from self._in_union(value, kind, at)
        elif origin in _LISTS:
            yield from self._in_list(value, kind, at)
        elif is_typeddict(kind):
            yield from self._in_object(value, kind, at)
        elif origin is Literal:
            if value not in get_args(kind):
                yield f"{at}: {value!r} is none of its values"
        elif kind is not object and not _is_a(value, origin or kind):
            yield f"{at}: {type(value).__name__} is the wrong type"

    def _in_list(self, value: Json, kind: Kind, at: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{at}: not a list"
            return
        (inner,) = get_args(kind)
        for index, one in enumerate(value):
            yield from self._in_any(one, inner, f"{at}[{index}]")

    def _in_object(self, value: Json, kind: Kind, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{at}: not an object"
            return
        members, required = _members(kind)
        yield from (f"{at}: unknown member {name!r}" for name in value.keys() - members - self._known)
        yield from (f"{at}: no member {name!r}" for name in required - value.keys() - self._not_needed)
        for name in value.keys() & members:
            if value[name] is None and name in self._nullable:
                continue
            yield from self._in_any(value[name], members[name], f"{at}.{name}" if at else name)

    def _in_union(self, value: Json, kind: Kind, at: str) -> Iterator[str]:
        """Nothing when one of them fits; else what is wrong by the closest one."""
        closest: list[str] | None = None
        name = value.get("type") if isinstance(value, dict) else None
        json_type: Kind = type(value)
        for one in _of_form(kind, _form(json_type), None if name is None else str(name)):
            found = list(self._in_any(value, one, at))
            if closest is None or len(found) < len(closest):
                closest = found
            if not found:
                break
        yield from [f"{at}: unknown type {name or type(value).__name__!r}"] if closest is None else closest


def _is_a(value: Json, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


@functools.cache
def _of_form(union: Kind, form: Kind, name: str | None) -> tuple[Kind, ...]:
    """Those of a union that a value of this JSON type may be, and of this `type` if it is an object."""
    found = [one for one in _alternatives(union) if _form(one) in (form, None)]
    return tuple(one for one in found if not is_typeddict(one) or _is_named(one, name))


@functools.cache
def _alternatives(union: Kind) -> tuple[Kind, ...]:
    """The members of a union, and of the unions in it."""
    nested = (_alternatives(one) if get_origin(one) in _UNIONS else (one,) for one in get_args(union))
    return tuple(itertools.chain.from_iterable(nested))


@functools.cache
def _form(kind: Kind) -> Kind:
    """The JSON type of a kind: dict, list, str (for what is no container), or None when it is left open."""
    origin: Kind = get_origin(kind)
    if kind is object:
        return None
    if is_typeddict(kind) or dict in (kind, origin):
        return dict
    return list if kind is list or origin in _LISTS else str


def _is_named(kind: Kind, name: str | None) -> bool:
    """Whether a TypedDict takes this `type`; None: none at all."""
    members, required = _members(kind)
    if name is None:
        return "type" not in required
    literals = [one for one in (members.get("type"), *get_args(members.get("type"))) if get_origin(one) is Literal]
    return not literals or any(name in get_args(one) for one in literals)


@functools.cache
def _members(kind: Kind) -> tuple[dict[str, Kind], frozenset[str]]:
    """The types of a TypedDict's members by name, and the names of those that must be there."""
    hints = get_type_hints(kind, include_extras=True)
    required = frozenset(name for name, hint in hints.items() if get_origin(hint) is Required)
    return {name: get_args(hint)[0] if name in required else hint for name, hint in hints.items()}, required
