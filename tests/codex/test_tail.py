"""The lines that a resumed thread writes, as the notifications that it does not send."""

import asyncio
import os
from collections import deque
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from codex_proxy.codex import methods, wire
from codex_proxy.codex.connection import Connection
from codex_proxy.codex.exchange import Exchange
from codex_proxy.codex.open_threads import OpenThread
from codex_proxy.codex.opening import Opening
from codex_proxy.codex.tail import InOrder, Tail
from codex_proxy.codex.thread import Recipe
from tests.codex.lines import TURN
from tests.support import virtual_time

_USED = {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3, "reasoning_output_tokens": 1, "total_tokens": 13}
_TOLD = {
    "inputTokens": 10,
    "cachedInputTokens": 4,
    "outputTokens": 3,
    "reasoningOutputTokens": 1,
    "cacheWriteInputTokens": 0,
}


def test_the_end_of_a_model_response_has_its_tokens(tmp_path: Path) -> None:
    """0.163.0 and newer; where the provider has told none, neither does it."""
    rollout = tmp_path / "rollout.jsonl"
    payloads: tuple[dict[str, object], ...] = ({"usage": _USED, "turn_id": "t1"}, {"usage": None}, {})
    lines = [msgspec.json.encode({"ordinal": 1, "type": "token_usage_record", "payload": payload}) for payload in payloads]
    rollout.write_bytes(b"\n".join(lines) + b'\n{"type":"token_us')
    told = [(method, msgspec.json.decode(params)) for method, params in Tail(rollout, 0).read("t1")]
    assert told == [("rawResponse/completed", {"usage": used}) for used in (_TOLD, None, None)]


def test_a_rollout_that_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A FIFO in its place held up the whole server."""
    (tmp_path / "file").write_bytes(b"{}\n")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(OSError, match=r"regular file|symbolic links"):
            Tail(tmp_path / name, 0).read("t1")


def test_an_item_that_is_read_ahead_of_its_deltas_waits_for_its_completion() -> None:
    """Reasoning of a resumed thread was told twice: as completed, and then as started."""
    items = ({"type": "reasoning", "id": "rs_1"}, {"type": "message", "role": "assistant", "id": "msg_1"})
    call = ("rawResponseItem/completed", msgspec.Raw(b'{"item":{"type":"function_call","id":"fc_1"}}'))
    reasoning, message = (("rawResponseItem/completed", msgspec.Raw(msgspec.json.encode({"item": item}))) for item in items)
    end = ("rawResponse/completed", msgspec.Raw(b"{}"))
    written = InOrder()
    for news in (call, reasoning, message, end):
        written.add(*news)
    assert written.due(everything=False) == [call]
    written.completed("rs_1")
    assert written.due(everything=False) == [reasoning]
    assert written.due(everything=False) == []
    assert written.due(everything=True) == [message, end]


class _Told:
    """A connection to a CLI that has sent three lines."""

    def __init__(self) -> None:
        params = {"threadId": "one", "turnId": "t1", "callId": "call_1"}
        item = {"type": "dynamicToolCall", "id": "call_1"}
        turn = {"id": "t1", "status": "interrupted"}
        told = msgspec.Raw(msgspec.json.encode(params | {"item": item, "turn": turn}))
        self._lines = deque(
            wire.Line(method=method, params=told) for method in ("item/started", methods.CLIENTS_TOOL, "turn/completed")
        )

    async def request(self, *_: Any) -> wire.TurnNews:
        return wire.TurnNews(wire.TurnState("t1", "inProgress"))

    async def post(self, *_: Any) -> None: ...

    async def notification(self) -> wire.Line:
        return self._lines.popleft()


def test_the_end_of_a_model_response_is_not_waited_for_once_it_was_read(tmp_path: Path) -> None:
    """Ahead of the report of its call: each call of a client's tool in a resumed thread took a second."""
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}", wire.PRIVATE: {"turn_id": "t1"}}
    rollout = tmp_path / "rollout.jsonl"
    lines = [{"type": "response_item", "payload": call}, {"type": "token_usage_record", "payload": {}}]
    rollout.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    async def main() -> None:
        connection = cast(Connection, _Told())
        thread = OpenThread("one", rollout, cast(Recipe, None), connection)
        thread.tail = Tail(rollout, 0)
        exchange = Exchange(connection, TURN, Opening(thread, (), "resumed"), TURN)
        began = asyncio.get_running_loop().time()
        assert [event async for event in exchange.events()]
        assert asyncio.get_running_loop().time() - began < 0.5

    virtual_time.run(main())
