"""Tokens of a model response that was cut off, counted by us: Codex reports none for it.

A delta is at least a token, so the output is its deltas. The input is what the request brought, at four bytes of text a
token, since a provider's tokenizer is its own; what Codex itself puts before that is not in it. `Usage.counted` marks it.
"""

import msgspec

from codex_proxy.history import Answered, Called, History, Message, Part, Reasoned, Text, Verbatim
from codex_proxy.turns import Turn, Usage

_BYTES_A_TOKEN = 4
_IMAGE_TOKENS = 1000  # about what providers count for one of usual size


def usage(turn: Turn, reported: Usage | None, *, said: int, thought: int) -> Usage:
    """The usage of a turn: what was reported of its earlier model responses, and the deltas of the one that was cut off."""
    before = reported or Usage(0, 0, 0, 0)
    return msgspec.structs.replace(
        before,
        input=before.input + _input(turn),
        output=before.output + said + thought,
        reasoning=before.reasoning + thought,
        counted=True,
    )


def _input(turn: Turn) -> int:
    texts = sum(map(_size, (*turn.history, *turn.note))) + _parts(turn.input)
    texts += sum(len(tool.name) + len(tool.description) + len(tool.parameters) for tool in turn.tools)
    return -(-texts // _BYTES_A_TOKEN)


def _size(item: History) -> int:
    match item:
        case Message() | Answered():
            return _parts(item.parts)
        case Called():
            return _bytes(item.name) + _bytes(item.arguments)
        case Reasoned():
            return len(item.encrypted)
        case Verbatim():
            return _bytes(item.item)


def _parts(parts: tuple[Part, ...]) -> int:
    return sum(_bytes(part.text) if isinstance(part, Text) else _IMAGE_TOKENS * _BYTES_A_TOKEN for part in parts)


def _bytes(text: str) -> int:
    return len(text.encode())
