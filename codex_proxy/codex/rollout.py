"""A rollout: the file in which the CLI keeps a thread, as bytes. Pure: what to cut, to append and to read in it.

The form is the CLI's own affair (0.147.0 to 0.169.0): JSON lines, from 0.163.0 on numbered by `ordinal`. So as little of
it as possible is touched: a file is cut at the end of a line, response items are appended, and the id is replaced.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from codex_proxy.codex import wire

_CALLS = frozenset(("function_call", "custom_tool_call", "local_shell_call"))


class _Payload(msgspec.Struct):
    type: str = ""
    role: str = ""
    call_id: str = ""
    info: "_Info | None" = None


class _Info(msgspec.Struct):
    total_token_usage: "SnakeTokens"


class SnakeTokens(msgspec.Struct):
    """Tokens as a rollout has them."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    cache_write_input_tokens: int = 0

    def as_told(self) -> wire.Tokens:
        return wire.Tokens(*msgspec.structs.astuple(self))


class _Line(msgspec.Struct):
    """The members of a line that we read."""

    type: str
    payload: _Payload
    timestamp: str = ""
    ordinal: int | None = None


class _Item(msgspec.Struct):
    payload: dict[str, Any]  # Any: a raw Responses API item


def cut_after(rollout: bytes, call_ids: Collection[str]) -> bytes | None:
    """The rollout up to the last of these calls, which end it: their outputs come next.

    None when it has other calls without an output there, or lacks one of these: then it cannot be gone on from.
    """
    waiting, found, end, place = set(call_ids), set[str](), 0, 0
    for raw in rollout.splitlines(keepends=True):
        place += len(raw)
        line = _decode(raw)
        if line.type == "response_item" and line.payload.type in _CALLS:
            found.add(line.payload.call_id)
            waiting.discard(line.payload.call_id)
            if not waiting:
                end = place
                break
        elif line.type == "response_item" and line.payload.type.endswith("_output"):
            found.discard(line.payload.call_id)
    return rollout[:end] if end and found == set(call_ids) else None


def numbered(rollout: bytes) -> bool:
    """Whether its CLI numbers the lines. Those that do (0.163.0) also write where a model response ends."""
    return _decode(rollout.splitlines()[-1]).ordinal is not None


def has_ended(rollout: bytes, turn_id: str) -> bool:
    """Whether the end of this turn, which was the latest, is written, with all before it: a full disk cuts it off."""
    last = rollout[rollout.rfind(b"\n", 0, -1) + 1 :]
    return last.endswith(b"\n") and turn_id.encode() in last


def with_items(rollout: bytes, items: Sequence[dict[str, Any]]) -> bytes:
    """The rollout with raw Responses API items at its end."""
    last = _decode(rollout.splitlines()[-1])
    lines = []
    for number, item in enumerate(items, 1):
        numbered = {} if last.ordinal is None else {"ordinal": last.ordinal + number}
        lines.append(msgspec.json.encode({"timestamp": last.timestamp, **numbered, "type": "response_item", "payload": item}))
    return rollout + b"".join(line + b"\n" for line in lines)


def renamed(rollout: bytes, thread: str, name: str) -> bytes:
    """The rollout as that of another thread: its id is in the first line and in what Codex tells of itself."""
    return rollout.replace(thread.encode(), name.encode())


def model_items(rollout: bytes) -> list[dict[str, Any]]:
    """What the model has seen, as raw items, without what Codex tells of itself: that comes before the first turn_context."""
    items: list[dict[str, Any]] = []
    in_turn = False
    for raw in rollout.splitlines():
        match _decode(raw).type:
            case "turn_context":
                in_turn = True
            case "response_item" if in_turn:
                item = _item.decode(raw).payload
                item.pop(wire.PRIVATE, None)
                items.append(item)
    return items


def tokens(rollout: bytes) -> wire.Tokens:
    """The thread's totals as they stand at the end."""
    for raw in reversed(rollout.splitlines()):
        if b'"token_count"' in raw and (info := _decode(raw).payload.info) is not None:
            return info.total_token_usage.as_told()
    return wire.Tokens()


def _decode(raw: bytes) -> _Line:
    return _line.decode(raw)


_line = msgspec.json.Decoder(_Line)
_item = msgspec.json.Decoder(_Item)
