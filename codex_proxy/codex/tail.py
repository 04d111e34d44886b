"""Follow the rollout of a resumed thread, for which the CLI sends no raw events.

It sends them only for threads that it has started (0.147.0 to 0.169.0), but writes the same items to the rollout of every
thread, and the end of each model response.
"""

from pathlib import Path

import msgspec

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
        with open(self._path, "rb") as stream:
            stream.seek(self._position)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._position += len(whole)
        return [news for raw in whole.splitlines() if (news := _news(raw, turn_id)) is not None]


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
