"""Lines of the CLI, written by hand or recorded in tests/data, and the events that they are translated to."""

from pathlib import Path
from typing import Any

import msgspec

from codex_proxy.codex import wire
from codex_proxy.codex.translate import Translator
from codex_proxy.history import Text
from codex_proxy.turns import Turn, TurnEvent

_DATA = Path(__file__).parent.parent / "data"

TURN = Turn("t", "m", None, "agent", "read-only", False, "/w", (), (Text("hi"),))
Line = tuple[str, msgspec.Raw]


def line(method: str, **params: Any) -> Line:  # Any: the wire's own
    return method, msgspec.Raw(msgspec.json.encode(params))


def item_started(**item: Any) -> Line:
    return line("item/started", item=item)


def item_completed(**item: Any) -> Line:
    return line("item/completed", item=item)


def call(name: str, arguments: str, call_id: str) -> Line:
    item = {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id}
    return line("rawResponseItem/completed", item=item)


def call_output(call_id: str, output: object) -> Line:
    return line("rawResponseItem/completed", item={"type": "function_call_output", "call_id": call_id, "output": output})


def translate(translator: Translator, lines: list[Line]) -> list[TurnEvent]:
    return [event for method, params in lines for event in translator.translate(method, params)]


def translated(*lines: Line, turn: Turn = TURN) -> list[TurnEvent]:
    return translate(Translator(turn), list(lines))


def recorded(name: str, translator: Translator) -> list[TurnEvent]:
    lines = [msgspec.json.decode(raw, type=wire.Line) for raw in (_DATA / name).read_bytes().splitlines()]
    return translate(translator, [(one.method or "", one.params) for one in lines])
