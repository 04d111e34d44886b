"""Follow the rollout of a resumed thread, for which the CLI sends no raw events.

It sends them only for threads that it has started (0.147.0 to 0.169.0), but writes the same items to the rollout of every
thread, and the end of each model response.
"""

from collections import deque
from pathlib import Path

import msgspec

from codex_proxy import whole_file
from codex_proxy.codex import rollout, wire

_RESPONSE_ENDS = "token_usage_record"  # since 0.163.0; it precedes the outputs of the response's calls


class _Stamp(msgspec.Struct, frozen=True):
    turn_id: str = ""


class _Marked(msgspec.Struct, rename={"stamp": wire.PRIVATE}):
    stamp: _Stamp = _Stamp()


class _Item(msgspec.Struct):
    item: msgspec.Raw


class _Ended(msgspec.Struct):
    usage: rollout.SnakeTokens | None = None


class _Line(msgspec.Struct):
    type: str
    payload: msgspec.Raw


class Tail:
    """Reads new lines of a rollout as the notifications that a started thread would have sent."""

    def __init__(self, path: Path, position: int) -> None:
        self._path = path
        self._position = position

    def read(self, turn_id: str | None) -> list[tuple[str, msgspec.Raw]]:
        """The notifications since the last read; method "" marks an item that was given to the thread. Raises OSError."""
        with whole_file.opened(self._path) as stream:
            stream.seek(self._position)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._position += len(whole)
        return [news for raw in whole.splitlines() if (news := _news(raw, turn_id)) is not None]


class InOrder:
    """Puts what a rollout has in order with what the CLI sends: an item follows its `item/completed`.

    The CLI writes an item before it sends that, so that under load a rollout may be read ahead of the deltas of its last items.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, msgspec.Raw]] = deque()
        self._completed: set[str] = set()
        self._calls: set[str] = set()  # of the model response that is being written
        self._whole: set[str] = set()  # calls of the responses that are written to their end

    def add(self, method: str, params: msgspec.Raw) -> None:
        """Add a notification made from a line of the rollout."""
        self._waiting.append((method, params))
        if method == "rawResponse/completed":
            self._whole |= self._calls
            self._calls.clear()
        elif (item := wire.decode(params, wire.ItemKindNews).item).type in rollout.CALLS:
            self._calls.add(item.call_id)
            self._whole.discard(item.call_id)  # some providers use the same ids in each response

    def is_whole(self, call_id: str) -> bool:
        """Whether the model response that has this call was added to its end."""
        return call_id in self._whole

    def completed(self, item_id: str) -> None:
        """The CLI has sent `item/completed` for this item."""
        self._completed.add(item_id)

    def due(self, *, everything: bool) -> list[tuple[str, msgspec.Raw]]:
        """Take what may be passed on now: with `everything` all, else up to the first item that is not completed."""
        found = []
        while self._waiting and (everything or self._is_due(*self._waiting[0])):
            found.append(self._waiting.popleft())
        return found

    def _is_due(self, method: str, params: msgspec.Raw) -> bool:
        if method != "rawResponseItem/completed":
            return True
        item = wire.decode(params, wire.ItemKindNews).item
        sent = item.type == "reasoning" or item.role == "assistant"  # the others have ids of their own there, or none
        return not sent or item.id is None or item.id in self._completed


def _news(raw: bytes, turn_id: str | None) -> tuple[str, msgspec.Raw] | None:
    line = _line.decode(raw)
    if line.type == _RESPONSE_ENDS:
        used = _ended.decode(line.payload).usage
        return "rawResponse/completed", msgspec.Raw(
            msgspec.json.encode(wire.ResponseNews(None if used is None else used.as_told()))
        )
    if line.type != "response_item":
        return None
    params = msgspec.Raw(msgspec.json.encode(_Item(line.payload)))
    own = _marked.decode(line.payload).stamp.turn_id == turn_id
    return ("rawResponseItem/completed" if own else "", params)


_line = msgspec.json.Decoder(_Line)
_ended = msgspec.json.Decoder(_Ended)
_marked = msgspec.json.Decoder(_Marked)
