"""Cut, extend and read a rollout, the file in which the CLI keeps a thread. Pure: bytes in, bytes out.

The format is private to the CLI (0.147.0 to 0.169.0): JSON lines, numbered by `ordinal` since 0.163.0. So as little of it as
possible is changed: a file is cut at the end of a line, response items are appended, and the thread id is replaced.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from codex_proxy.codex import wire

_OF_CODEX = ("permissions.", "environments.")  # how the kinds of its own messages begin
_TURN_BEGINS = "task_started"
CALLS = frozenset(("function_call", "custom_tool_call", "local_shell_call"))


class _Payload(msgspec.Struct):
    type: str = ""
    role: str = ""
    call_id: str = ""
    info: "_Info | None" = None


class _Info(msgspec.Struct):
    total_token_usage: "SnakeTokens"


class SnakeTokens(msgspec.Struct):
    """Token counts as a rollout stores them."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    cache_write_input_tokens: int = 0

    def as_told(self) -> wire.Tokens:
        return wire.Tokens(*msgspec.structs.astuple(self))


class _Line(msgspec.Struct):
    """A line of a rollout: the members that we read."""

    type: str
    payload: _Payload
    timestamp: str = ""
    ordinal: int | None = None


class _Item(msgspec.Struct):
    payload: dict[str, Any]  # Any: a raw Responses API item


def cut_after(rollout: bytes, call_ids: Collection[str]) -> bytes | None:
    """The rollout up to where its latest turn lacks the outputs of these calls and no others, so that they can be appended.

    That is after the last of these calls, or after the last output of the agent's own calls beside them. None when there is no
    such place: the rollout cannot be continued then.
    """
    waiting, end, place = set[str](), 0, 0
    for raw in rollout.splitlines(keepends=True):
        place += len(raw)
        line = _decode(raw)
        if line.type == "turn_context":  # some providers use the same ids in each turn
            waiting.clear()
            end = 0
        elif line.type == "response_item" and line.payload.type in CALLS:
            waiting.add(line.payload.call_id)
        elif line.type == "response_item" and line.payload.type.endswith("_output"):
            waiting.discard(line.payload.call_id)
        if not end and waiting == set(call_ids):
            end = place
    return rollout[:end] if end else None


def numbered(rollout: bytes) -> bool:
    """Whether the lines are numbered. CLIs that do so (0.163.0 and newer) also record where a model response ends."""
    return _decode(_last(rollout)).ordinal is not None


def has_ended(rollout: bytes, turn_id: str) -> bool:
    """Whether the latest turn is recorded to its end; a full disk cuts it off."""
    last = _last(rollout)
    return last.endswith(b"\n") and turn_id.encode() in last


def with_items(rollout: bytes, items: Sequence[dict[str, Any]]) -> bytes:
    """The rollout with raw Responses API items appended."""
    last = _decode(_last(rollout))
    lines = []
    for number, item in enumerate(items, 1):
        numbered = {} if last.ordinal is None else {"ordinal": last.ordinal + number}
        lines.append(msgspec.json.encode({"timestamp": last.timestamp, **numbered, "type": "response_item", "payload": item}))
    return rollout + b"".join(line + b"\n" for line in lines)


def renamed(rollout: bytes, thread: str, name: str) -> bytes:
    """The rollout with another thread id, which occurs in the first line and in Codex's own context."""
    return rollout.replace(thread.encode(), name.encode())


def model_items(rollout: bytes) -> list[dict[str, Any]]:
    """The raw items that the model has seen, without Codex's own context, which a new thread gives anew.

    It precedes the first turn_context, and comes again within a thread when the sandbox changes. The summaries that a model has
    written for itself when Codex compacted the conversation are left out too: the items that they stand for are all here.
    """
    items: list[dict[str, Any]] = []
    in_turn = False
    not_summed_up = 0  # items that no summary can be behind
    for raw in rollout.splitlines():
        line = _decode(raw)
        match line.type:
            case "turn_context":
                in_turn = True
            case "response_item" if in_turn and line.payload.type != wire.TOOLS:
                item = _item.decode(raw).payload
                kinds = (item.pop(wire.PRIVATE, None) or {}).get("content_item_kinds", ())
                if not any(kind.startswith(_OF_CODEX) for kind in kinds):
                    items.append(item)
                    if line.payload.role != "assistant" and line.payload.type != "reasoning":
                        not_summed_up = len(items)
            case "event_msg" if line.payload.type == _TURN_BEGINS:
                not_summed_up = len(items)
            case "compacted":
                del items[not_summed_up:]
    return items


def tokens(rollout: bytes) -> wire.Tokens:
    """The thread's token totals at the end of the rollout."""
    for raw in reversed(rollout.splitlines()):
        if b'"token_count"' in raw and (info := _decode(raw).payload.info) is not None:
            return info.total_token_usage.as_told()
    return wire.Tokens()


def _last(rollout: bytes) -> bytes:
    """The last line, with its end: a rollout may be long."""
    return rollout[rollout.rfind(b"\n", 0, -1) + 1 :]


def _decode(raw: bytes) -> _Line:
    return _line.decode(raw)


_line = msgspec.json.Decoder(_Line)
_item = msgspec.json.Decoder(_Item)
