"""Pack waiting turns into bytes: as objects, their content takes many times the memory of the request body."""

import msgspec

from codex_proxy.history import History, Part
from codex_proxy.turns import Tool, Turn


class Packed(msgspec.Struct, frozen=True):
    """A packed turn. `turn` lacks everything that can be large, with only the names of its tools; `content` has the rest."""

    turn: Turn
    content: bytes


class _Content(msgspec.Struct, frozen=True):
    history: tuple[History, ...]
    input: tuple[Part, ...]
    tools: tuple[Tool, ...]
    output_schema: str | None
    checked_schema: str | None
    note: tuple[History, ...]


def pack(turn: Turn) -> Packed:
    content = msgspec.msgpack.encode(
        _Content(turn.history, turn.input, turn.tools, turn.output_schema, turn.checked_schema, turn.note)
    )
    names = tuple(msgspec.structs.replace(tool, description="", parameters="{}") for tool in turn.tools)
    return Packed(
        msgspec.structs.replace(turn, history=(), input=(), tools=names, output_schema=None, checked_schema=None, note=()), content
    )


def unpack(packed: Packed) -> Turn:
    found = _decoder.decode(packed.content)
    large = {name: getattr(found, name) for name in found.__struct_fields__}
    return msgspec.structs.replace(packed.turn, **large)


_decoder = msgspec.msgpack.Decoder(_Content)
