"""What the members of a struct refuse: values of every JSON type that is not theirs, and values just out of their range.

Derived from the struct as msgspec sees it; a kind of type that is not known here raises.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

_VALUES: tuple[Any, ...] = (True, 1, 1.5, "x", [], {}, [1], {"a": 1})  # Any: each JSON type

Wrong = tuple[str, str, Any]  # place at fault, member of the outermost struct, its value (Any: any JSON)


def wrong_types(struct: type) -> Iterator[Wrong]:
    """For each member, those of structs and of lists of structs in it too: every value that is not of its type."""
    for field, kinds in _members(struct):
        for value in _VALUES:
            if not any(_fits(value, kind) for kind in kinds):
                yield field, field, value
        for kind in kinds:
            for inner, listed in _structs_in(kind):
                for place, value in _wrong_in(inner):
                    yield (f"{field}[0].{place}", field, [value]) if listed else (f"{field}.{place}", field, value)


def out_of_range(struct: type) -> Iterator[Wrong]:
    """One less than the least and one more than the most, where there is a bound."""
    for field, kinds in _members(struct):
        for kind in kinds:
            match kind:
                case inspect.IntType() | inspect.FloatType():
                    bounds = ((kind.ge, -1), (kind.le, 1))
                    yield from ((field, field, bound + step) for bound, step in bounds if bound is not None)
                case inspect.StrType():
                    lengths = ((kind.min_length, -1), (kind.max_length, 1))
                    yield from ((field, field, "x" * (length + step)) for length, step in lengths if length is not None)
                case inspect.StructType():
                    found = out_of_range(kind.cls)
                    yield from ((f"{field}.{place}", field, tagged(kind, member, value)) for place, member, value in found)


def tagged(kind: inspect.StructType, member: str, value: Any) -> dict[str, Any]:  # Any: any JSON
    """An object with one member beside the tag by which its struct is known."""
    return ({} if kind.tag_field is None else {kind.tag_field: kind.tag}) | {member: value}


def _structs_in(kind: inspect.Type) -> Iterator[tuple[inspect.StructType, bool]]:
    """The structs that a value may be, and those that it may be a list of."""
    if isinstance(kind, inspect.StructType):
        yield kind, False
    if isinstance(kind, inspect.ListType):
        one = kind.item_type
        for inner in one.types if isinstance(one, inspect.UnionType) else (one,):
            if isinstance(inner, inspect.StructType):
                yield inner, True


def _wrong_in(kind: inspect.StructType) -> Iterator[tuple[str, Any]]:  # Any: any JSON
    """Places in an object and values of the object: a wrong tag, then each wrong member beside the right tag."""
    if kind.tag_field is not None:
        yield from ((kind.tag_field, {kind.tag_field: value}) for value in _VALUES)
    yield from ((place, tagged(kind, member, value)) for place, member, value in wrong_types(kind.cls))


def _members(struct: type) -> Iterator[tuple[str, tuple[inspect.Type, ...]]]:
    """The members of a struct and the types that each may have."""
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        yield field.encode_name, field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)


def _fits(value: object, kind: inspect.Type) -> bool:
    """Whether a JSON value is of a type, the ranges of numbers and texts aside."""
    match kind:
        case inspect.UnionType():
            return any(_fits(value, one) for one in kind.types)
        case inspect.AnyType():
            return True
        case inspect.NoneType():
            return value is None
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.LiteralType():
            return isinstance(value, str) and value in kind.values
        case inspect.ListType():
            return (
                isinstance(value, list)
                and len(value) >= (kind.min_length or 0)
                and all(_fits(one, kind.item_type) for one in value)
            )
        case inspect.DictType():
            return isinstance(value, dict) and all(_fits(one, kind.value_type) for one in value.values())
        case inspect.StructType():
            return isinstance(value, dict) and _fits_struct(value, kind)
        case _:
            raise NotImplementedError(f"a new kind of type: {kind}")


def _fits_struct(value: dict[str, object], kind: inspect.StructType) -> bool:
    known = {field.encode_name: field for field in kind.fields}
    if kind.tag_field is not None and value.get(kind.tag_field) != kind.tag:
        return False
    missing = [name for name, field in known.items() if field.required and name not in value]
    return not missing and all(
        _fits(one, known[name].type) if name in known else not kind.forbid_unknown_fields for name, one in value.items()
    )
