"""Damage to the bytes of a request: flipped, cut, doubled, moved, and JSON's own oddities put in. All chance is the caller's."""

import random
import re
from collections.abc import Callable, Sequence

_ODD = (
    *(b"null", b"true", b"-0", b"1e400", b"-1e-400", b"9" * 400, b"0x1", b"NaN", b'""', b'"\\u0000"', b'"\\ud800"', b'"\xff"'),
    *(b"[]", b"{}", b"[[[[[[[[]]]]]]]]", b"[" * 300, b'{"a":' * 300, b'"' + b"x" * 5000 + b'"', b'{"type":"function"}'),
    *('"\u202e\ufeff\U0010ffff"'.encode(), b'"data:image/png;base64,AAAA"', b'"../../etc/passwd"', b'"danger-full-access"'),
)
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null')


def damaged(chance: random.Random, body: bytes, others: Sequence[bytes]) -> bytes:
    """The body with one to four kinds of damage; `others` lend it pieces."""
    for _ in range(chance.randint(1, 4)):
        body = chance.choice(_KINDS)(chance, body, chance.choice(others))
    return body


def _flip(chance: random.Random, body: bytes, _: bytes) -> bytes:
    if not body:
        return b"\0"
    at = chance.randrange(len(body))
    return body[:at] + bytes([body[at] ^ (1 << chance.randrange(8))]) + body[at + 1 :]


def _cut_off(chance: random.Random, body: bytes, _: bytes) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _cut_out(chance: random.Random, body: bytes, _: bytes) -> bytes:
    start, end = _span(chance, body)
    return body[:start] + body[end:]


def _double(chance: random.Random, body: bytes, _: bytes) -> bytes:
    start, end = _span(chance, body)
    return body[:end] + body[start:end] * chance.choice((1, 1, 2, 50)) + body[end:]


def _splice(chance: random.Random, body: bytes, other: bytes) -> bytes:
    return body[: chance.randrange(len(body) + 1)] + other[chance.randrange(len(other) + 1) :]


def _put_odd(chance: random.Random, body: bytes, _: bytes) -> bytes:
    """An odd value in the place of one: the JSON often stays well-formed."""
    return _replaced(chance, body, chance.choice(_ODD))


def _put_other(chance: random.Random, body: bytes, other: bytes) -> bytes:
    """A value or name of another request in the place of one."""
    values = _VALUE.findall(other)
    return _replaced(chance, body, chance.choice(values)) if values else body


def _replaced(chance: random.Random, body: bytes, value: bytes) -> bytes:
    places = [found.span() for found in _VALUE.finditer(body)]
    if not places:
        return value
    start, end = chance.choice(places)
    return body[:start] + value + body[end:]


def _span(chance: random.Random, body: bytes) -> tuple[int, int]:
    start = chance.randrange(len(body) + 1)
    return start, min(len(body), start + chance.choice((1, 2, 8, 40, 200)))


_KINDS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    *(_flip, _cut_off, _cut_out, _double, _splice),
    *(_put_odd, _put_other) * 3,
)
