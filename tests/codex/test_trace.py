"""The trace of a conversation: none is left of one so long that reading and keeping it would fill the memory."""

import os
from pathlib import Path
from typing import cast

import pytest

from codex_proxy.codex import trace
from codex_proxy.codex.connection import Connection
from codex_proxy.codex.exchange import Exchange
from codex_proxy.codex.open_threads import OpenThread
from codex_proxy.codex.opening import Opening
from codex_proxy.codex.thread import Recipe
from codex_proxy.turns import Turn

_END = b'\n{"type":"event_msg","payload":{"type":"task_complete","turn_id":"turn_1"}}\n'
_ITEM = "x" * 1024


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize(("size", "kept"), [(1024, True), (trace.MOST_BYTES + 1024, False)])
def test_no_trace_is_left_of_a_conversation_that_is_too_long(tmp_path: Path, on_disk: bool, size: int, kept: bool) -> None:
    rollout = tmp_path / "rollout.jsonl"
    with rollout.open("wb") as file:
        os.truncate(file.fileno(), size)
        file.seek(0, os.SEEK_END)
        file.write(_END)
    connection = cast(Connection, None)
    turn = Turn("1", "a-model", None, "agent", "read-only", False, "/", (), (), keep="disk" if on_disk else "memory")
    thread = OpenThread("thread_1", rollout if on_disk else None, cast(Recipe, None), connection)
    exchange = Exchange(connection, turn, Opening(thread, (), "new"), turn)
    exchange.clean, exchange.turn_id, exchange.recorded = True, "turn_1", [_ITEM] * (size // len(_ITEM))
    left = trace.left(turn, exchange, thread, tmp_path)
    assert (left is not None) is kept
