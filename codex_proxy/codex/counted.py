"""Our own token count for a model response that was cut off, for which Codex reports none.

A delta is at least one token, so the output is counted in deltas. The input is what the request contained, at four bytes of
text per token, since each provider has its own tokenizer; what Codex puts before it is not counted. `Usage.counted` marks it.
"""

import msgspec

from codex_proxy.history import Answered, Called, History, Message, Part, Reasoned, Text, Verbatim
from codex_proxy.turns import Turn, Usage

_BYTES_A_TOKEN = 4
_IMAGE_TOKENS = 1000  # roughly what providers count for an image of usual size


def usage(turn: Turn, reported: Usage | None, *, said: int, thought: int) -> Usage:
    """A turn's usage: what was reported for its earlier model responses, plus our count for the one that was cut off."""
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
