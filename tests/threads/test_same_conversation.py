"""Whatever clients make of their histories: with the index the model has the same conversation as without it.

But for the agent's own work, which only the index knows. What a thread has seen stands in its trace, as history.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_proxy.dialects.chat import request as chat_request
from codex_proxy.dialects.chat.answer import Completion, GivenAnswer
from codex_proxy.dialects.chat.deltas import ChatDeltas
from codex_proxy.dialects.responses import replay
from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.history import Answered, Called, History, Image, Message, Part, Reasoned, Text, Verbatim
from codex_proxy.threads.index import Threads
from codex_proxy.turns import (
    Command,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    ToolCalled,
    Trace,
    Turn,
    TurnCompleted,
    TurnEvent,
    TurnStarted,
    WorkCompleted,
    WorkStarted,
)
from codex_proxy.wish import Wish
from tests.dialects.responses import NOW, stream_of
from tests.threads.test_index import continued as continued_by
from tests.threads.test_index import remember

Json = dict[str, Any]  # Any: JSON
Events = list[TurnEvent]
_seen = msgspec.msgpack.Decoder(tuple[History, ...])
_FUNCTION: Json = {"name": "f", "parameters": {"type": "object", "properties": {}}}


class Dialect(Protocol):
    """A client that keeps its conversation by itself."""

    def wish(self, items: list[Json]) -> Wish:
        """What a request with these items asks for."""

    def told(self, events: Events) -> tuple[list[Json], tuple[History, ...]]:
        """What a client gets of a turn and keeps, and what the index is told of it."""

    def result(self, call_id: str, text: str) -> Json:
        """What a client sends when its tool was called."""


class Chat:
    def wish(self, items: list[Json]) -> Wish:
        tools = [{"type": "function", "function": _FUNCTION}]
        return chat_request.decode(msgspec.json.encode({"model": "m", "messages": items, "tools": tools})).wish

    def told(self, events: Events) -> tuple[list[Json], tuple[History, ...]]:
        deltas = ChatDeltas(stop=(), max_tokens=None, show_reasoning=True, show_activity=True)
        completion, kept = Completion("c", 1, "m"), GivenAnswer()
        for delta in (delta for event in events for delta in deltas.feed(event)):
            completion.add(delta)
            kept.add(delta)
        [choice] = msgspec.to_builtins(completion.body())["choices"]
        return [choice["message"]], kept.as_history() if kept.whole else ()

    def result(self, call_id: str, text: str) -> Json:
        return {"role": "tool", "tool_call_id": call_id, "content": text}


class Responses:
    def wish(self, items: list[Json]) -> Wish:
        body = {"model": "m", "input": items, "tools": [{"type": "function", **_FUNCTION}], "store": False}
        return responses_request.decode(msgspec.json.encode(body)).continuing(()).wish

    def told(self, events: Events) -> tuple[list[Json], tuple[History, ...]]:
        stream = stream_of()
        for event in events:
            stream.feed(event, NOW)
        output = stream.response.output
        return msgspec.to_builtins(output), replay.repeated(output)

    def result(self, call_id: str, text: str) -> Json:
        return {"type": "function_call_output", "call_id": call_id, "output": text}


class World:
    """The index, and a Codex whose threads see what they are given."""

    def __init__(self) -> None:
        self.threads = Threads(60.0)
        self._numbers = iter(range(10**6))

    def take_turn(self, dialect: Dialect, items: list[Json], answer: Callable[[str], Events]) -> list[Json]:
        """Ask, compare what the model is given, and answer; what the client then has."""
        number = str(next(self._numbers))
        wish = dialect.wish(items)
        turn = Turn(number, "m", None, "agent", "read-only", False, "/w", wish.history, wish.input, wish.tools)
        turn = continued_by(self.threads, turn)
        before = _seen.decode(turn.trace.content) if turn.trace else ()
        asked = (Message("user", turn.input),) if turn.input else ()
        given = (*before, *turn.history[turn.covered :], *asked)
        assert plain(given) == plain((*turn.history, *asked))
        events = answer(number)
        seen = (*given, *(item for event in events for item in as_seen(event)))
        got, answered = dialect.told([TurnStarted(), *events, TurnCompleted(None)])
        if answered:
            remember(self.threads, "anna", turn, answered, Trace(number, number, "place", msgspec.msgpack.encode(seen)))
        return [*items, *got]


def as_seen(event: TurnEvent) -> tuple[History, ...]:
    """What a thread has of an event."""
    match event:
        case MessageCompleted(text=text):
            return (Message("assistant", (Text(text),)),)
        case WorkCompleted(item=item):
            return (Called(item, "exec_command", "{}", agents=True), Answered(item, (Text("hidden work"),), agents=True))
        case ToolCalled():
            return (Called(event.call_id, event.name, event.arguments),)
        case _:
            return ()


def plain(history: tuple[History, ...]) -> list[tuple[str, ...]]:
    """A conversation as a model understands it, without the agent's own work: what is said in one go is one text."""
    found: list[tuple[str, ...]] = []
    for item in history:
        match item:
            case Message():
                text = "".join(map(_text, item.parts))
                if not text:
                    continue
                if found and found[-1][0] == item.role == "assistant":
                    found[-1] = (item.role, found[-1][1] + text)
                else:
                    found.append((item.role, text))
            case Called() if not item.agents:
                found.append(("call", item.call_id, item.name, item.arguments))
            case Answered() if not item.agents:
                found.append(("output", item.call_id, "".join(map(_text, item.parts))))
            case Called() | Answered() | Reasoned() | Verbatim():
                pass
    return found


def _text(part: Part) -> str:
    return part.url if isinstance(part, Image) else "".join(part.text.split())


TEXTS = st.sampled_from(("Hi.", "Hi!", "a b", "a\nb", "And?", "é\u00a0x"))
_spaces = st.sampled_from(("", " ", "\n", "\n\n"))


@st.composite
def answers(draw: st.DrawFn) -> Callable[[str], Events]:
    """Some messages with hidden work between them, then perhaps calls of the client's tool."""
    said = draw(st.lists(st.one_of(TEXTS, st.none()), min_size=1, max_size=3))
    calls = draw(st.integers(0, 2))
    same_ids = draw(st.integers(0, 1)) == 1

    def answer(number: str) -> Events:
        events: Events = []
        for place, text in enumerate(said):
            name = f"{place}" if same_ids else f"{number}_{place}"
            if text is None:
                events += [WorkStarted(f"w{name}", Command("ls")), WorkCompleted(f"w{name}", Command("ls", "x", 0))]
            else:
                events += [MessageStarted(f"m{name}", None), MessageDelta(f"m{name}", text), MessageCompleted(f"m{name}", text)]
        return [*events, *(ToolCalled(f"c{number}_{call}", "f", "{}") for call in range(calls))]

    return answer


@st.composite
def continued(draw: st.DrawFn, dialect: Dialect, items: list[Json]) -> list[Json]:
    """A request that a client could make of what it has: gone on, forked, edited, written a little otherwise."""
    kept = items[: draw(st.one_of(st.just(len(items)), st.integers(0, len(items))))]
    kept = [draw(_rewritten(item)) if draw(st.integers(0, 3)) == 0 else item for item in kept]
    calls = [call for item in kept for call in _calls(item)]
    answered = {str(item.get("tool_call_id") or item.get("call_id")) for item in kept if _is_result(item)}
    results = [dialect.result(call, draw(TEXTS)) for call in calls if call not in answered]
    results_alone = draw(st.booleans())
    if results and results_alone:
        return [*kept, *results]
    return [*kept, *results, {"role": "user", "content": draw(TEXTS)}]


@st.composite
def _rewritten(draw: st.DrawFn, item: Json) -> Json:
    if not isinstance(item.get("content"), str):
        return item
    if draw(st.integers(0, 1)):
        return item | {"content": draw(_spaces) + item["content"] + draw(_spaces)}
    return item | {"content": draw(TEXTS)}


def _calls(item: Json) -> list[str]:
    if item.get("type") == "function_call":
        return [item["call_id"]]
    return [call["id"] for call in item.get("tool_calls") or ()]


def _is_result(item: Json) -> bool:
    return item.get("role") == "tool" or item.get("type") == "function_call_output"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_model_has_the_same_conversation_with_the_index_as_without(data: st.DataObject) -> None:
    dialects: st.SearchStrategy[Dialect] = st.sampled_from((Chat(), Responses()))
    dialect = data.draw(dialects, "dialect")
    world = World()
    conversations: list[list[Json]] = [[]]
    for _ in range(data.draw(st.integers(2, 8), "turns")):
        items = data.draw(continued(dialect, data.draw(st.sampled_from(conversations))), "request")
        conversations.append(world.take_turn(dialect, items, data.draw(answers())))
