"""Whatever a turn tells, in whatever order: each dialect makes a well-formed stream of it, and the same whole answer."""

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_proxy.dialects.chat.answer import Chunks, Completion
from codex_proxy.dialects.chat.deltas import ChatDeltas, Delta, Failure, Finish
from codex_proxy.dialects.final_only import FinalOnly
from codex_proxy.turns import (
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    ToolCalled,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    WorkStarted,
)
from tests.dialects.responses import events_of
from tests.dialects.turns_at_will import Events, disorder, turns
from tests.dialects.well_formed import Json, as_json, check_chunks, check_stream, gathered

_fixed = settings(deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
_limits = st.sampled_from((None, None, 1, 3))
_shown = st.tuples(st.booleans(), st.booleans(), st.booleans())


@_fixed
@given(turns(), _limits, _shown)
def test_the_responses_stream_of_every_turn_is_well_formed(turn: Events, limit: int | None, shown: tuple[bool, bool, bool]) -> None:
    check_stream(_responses(turn, limit, shown))


@_fixed
@given(disorder(), _limits, _shown)
def test_the_responses_stream_of_any_events_is_well_formed(turn: Events, limit: int | None, shown: tuple[bool, bool, bool]) -> None:
    check_stream(_responses(turn, limit, shown))


@_fixed
@given(turns())
def test_every_text_of_a_turn_is_in_the_response_whole(turn: Events) -> None:
    output = _responses(turn, None, (True, True, True))[-1]["response"]["output"]
    messages = [item for item in output if item["type"] == "message"]
    told = {event.item: "" for event in turn if isinstance(event, MessageStarted)}  # in their order, as the output is
    for event in turn:
        if isinstance(event, MessageDelta):
            told[event.item] += event.text
    assert ["".join(part["text"] for part in item["content"]) for item in messages] == [*told.values()]
    ended = {event.item for event in turn if isinstance(event, MessageCompleted)}
    assert [item["status"] == "completed" for item in messages] == [item in ended for item in told]


@_fixed
@given(turns())
def test_every_item_of_a_turn_has_an_id_of_its_own(turn: Events) -> None:
    ids = [item["id"] for item in _responses(turn, None, (True, True, True))[-1]["response"]["output"]]
    assert len(set(ids)) == len(ids)


@_fixed
@given(turns() | disorder(), _limits, _shown, st.booleans())
def test_the_chat_stream_of_any_events_is_well_formed_and_adds_up_to_the_whole_answer(
    turn: Events, limit: int | None, shown: tuple[bool, bool, bool], include_usage: bool
) -> None:
    deltas = _deltas(turn, limit, shown)
    assert [isinstance(delta, Finish | Failure) for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    chunks = Chunks("chatcmpl-1", 1, "m", include_usage=include_usage)
    completion = Completion("chatcmpl-1", 1, "m")
    told = [chunks.first()]
    for delta in deltas:
        completion.add(delta)
        told += [] if isinstance(delta, Failure) else chunks.encode(delta)
    if completion.error is not None:
        return
    stream = as_json(told)
    check_chunks(stream)
    (choice,) = as_json([completion.body()])[0]["choices"]
    message, whole = choice["message"], gathered(stream)
    assert (message["content"] or "", message.get("reasoning_content", "")) == (whole["content"], whole["reasoning_content"])
    assert [call["id"] for call in message.get("tool_calls", [])] == [call["id"] for call in whole["tool_calls"]]
    assert choice["finish_reason"] == stream[-1 - (stream[-1]["choices"] == [])]["choices"][0]["finish_reason"]


@_fixed
@given(turns(overlapping=False))
def test_the_content_of_a_chat_answer_is_its_messages_that_are_not_commentary(turn: Events) -> None:
    commentary = _items_of_phase(turn, "commentary")
    texts: dict[str, str] = {}
    for event in turn:
        if isinstance(event, MessageDelta) and event.item not in commentary:
            texts[event.item] = texts.get(event.item, "") + event.text
    assert _content(turn) == "\n\n".join(texts.values())


@_fixed
@given(turns())
def test_before_final_only_and_after_it_a_turn_ends_once_and_at_the_end(turn: Events) -> None:
    filtered = _final_only(turn)
    assert [isinstance(event, TurnCompleted | TurnFailed) for event in filtered] == [False] * (len(filtered) - 1) + [True]
    assert filtered[-1] == turn[-1]


@_fixed
@given(turns(), _limits, _shown)
def test_what_final_only_leaves_is_a_well_formed_responses_stream(
    turn: Events, limit: int | None, shown: tuple[bool, bool, bool]
) -> None:
    check_stream(_responses(_final_only(turn), limit, shown))


@_fixed
@given(turns())
def test_with_final_only_no_commentary_is_in_the_answer_and_none_is_lost(turn: Events) -> None:
    marked = _marked(turn)
    filtered = _final_only(marked)
    content, commentary = _content(filtered), _items_of_phase(turn, "commentary")
    said = {event.item for event in turn if isinstance(event, MessageDelta)}
    assert [item for item in commentary if f"<{item}>" in content] == []
    everything = str(_deltas(filtered, None, (True, True, True)))
    assert [item for item in said if f"<{item}>" not in everything] == []


@_fixed
@given(turns())
def test_with_final_only_an_answer_is_at_most_one_message(turn: Events) -> None:
    assert len({event.item for event in _final_only(turn) if isinstance(event, MessageStarted | MessageDelta)}) <= 1


@_fixed
@given(turns())
def test_with_final_only_nothing_that_came_before_work_or_a_call_is_in_the_answer(turn: Events) -> None:
    marked = _marked(turn)
    content = _content(_final_only(marked))
    last = max((index for index, event in enumerate(turn) if isinstance(event, WorkStarted | ToolCalled)), default=0)
    final = _items_of_phase(turn, "final_answer")
    before = {event.item for event in turn[:last] if isinstance(event, MessageStarted)} - final
    assert [item for item in before if f"<{item}>" in content] == []


def _responses(turn: Events, limit: int | None, shown: tuple[bool, bool, bool]) -> list[Json]:
    return events_of(
        turn,
        max_output_tokens=limit,
        freeform_tools=frozenset(((None, "write"),)),
        show_reasoning=shown[0],
        show_encrypted=shown[1],
        show_activity=shown[2],
        show_waiting=True,
    )


def _deltas(turn: Events, limit: int | None, shown: tuple[bool, bool, bool]) -> list[Delta]:
    deltas = ChatDeltas(stop=(), max_tokens=limit, show_reasoning=shown[0], show_activity=shown[2], show_waiting=True)
    return [delta for event in turn for delta in deltas.feed(event)]


def _content(turn: Events) -> str:
    told = [msgspec.to_builtins(delta) for delta in _deltas(turn, None, (False, False, False)) if not isinstance(delta, Failure)]
    return "".join(delta["text"] for delta in told if "text" in delta)


def _final_only(turn: Events) -> Events:
    final_only = FinalOnly()
    return tuple(told for event in turn for told in final_only.feed(event))


def _items_of_phase(turn: Events, phase: str) -> set[str]:
    return {event.item for event in turn if isinstance(event, MessageStarted) and event.phase == phase}


def _marked(turn: Events) -> Events:
    """The same turn, but each piece of a message says whose it is."""
    return tuple(_mark(event) for event in turn)


def _mark(event: TurnEvent) -> TurnEvent:
    return MessageDelta(event.item, f"<{event.item}>") if isinstance(event, MessageDelta) else event
