"""Transcript in, exact deltas out: what a chat client sees of a turn."""

import pytest

from codex_proxy.dialects.chat.deltas import Call, ChatDeltas, Content, Delta, Failure, Finish, Reasoning
from codex_proxy.dialects.chat.objects import FinishReason
from codex_proxy.turns import Command, MessageDelta, MessageStarted, TurnCompleted, TurnFailed, TurnStarted, Waiting
from tests.support import transcripts
from tests.support.transcripts import BROKE_OFF, USAGE, Transcript, completed, message

_DONE = Finish("stop", USAGE)

_SEEN: dict[str, list[Delta]] = {
    "PLAIN": [Content("Hello "), Content("there."), _DONE],
    "EMPTY": [_DONE],
    "REASONING": [Reasoning("**Looking"), Reasoning(" around**"), Reasoning("\n\n**Acting**"), Content("Done."), _DONE],
    "REASONING_TWICE": [Reasoning("One."), Reasoning("\n\nTwo."), Content("Done."), _DONE],
    "COMMENTARY": [Reasoning("I will "), Reasoning("look."), Content("Done."), _DONE],
    "COMMAND": [Reasoning("**Looking**"), Reasoning("\n$ ls -l"), Content("Two files."), _DONE],
    "RAW_REASONING": [Reasoning("hm"), Reasoning("\n\nHm."), Content("Done."), _DONE],
    "COMMAND_FAILED": [Reasoning("$ false"), Content("No."), _DONE],
    "OVERLAPPING_COMMANDS": [Reasoning("$ ls -l"), Reasoning("\n$ pwd"), Content("Done."), _DONE],
    "PATCH_FAILED": [Reasoning("edited src/a.py (add), src/b.py (delete)"), Content("No."), _DONE],
    "MCP_FAILED": [Reasoning('called clock.time_in {"city":"Bern"}'), Content("No."), _DONE],
    "CALL": [Call(0, "call_w", "get_weather", '{"city": "Rome"}'), Finish("tool_calls", USAGE)],
    "TWO_CALLS": [
        Reasoning("Let me see."),
        Call(0, "call_w", "get_weather", '{"city": "Rome"}'),
        Call(1, "call_t", "get_time", "{}"),
        Finish("tool_calls", USAGE),
    ],
    "FAILED_IN_A_COMMAND": [Reasoning("$ ls -l"), Failure(BROKE_OFF)],
    "TWO_COMMANDS": [Reasoning("$ ls -l"), Reasoning("\n$ pwd"), Content("Done."), _DONE],
    "PATCH": [Reasoning("edited src/a.py (add), src/b.py (delete)"), Content("Changed."), _DONE],
    "MCP": [Reasoning('called clock.time_in {"city":"Bern"}'), Content("Noon."), _DONE],
    "SEARCH": [Reasoning("searched the web: codex proxy"), Content("Found."), _DONE],
    "PLAN": [Reasoning("plan: [x] Look around; [~] Act; [ ] Rest"), Content("Planned."), _DONE],
    "TWO_MESSAGES": [Content("One."), Content("\n\nTwo"), Content("."), _DONE],
    "THINKING_AFTER_WORK": [Reasoning("$ ls -l"), Reasoning("\n\nHm."), Content("Done."), _DONE],
    "FAILED_FIRST": [Failure(BROKE_OFF)],
    "FAILED_BEFORE_TEXT": [Reasoning("Hm."), Failure(BROKE_OFF)],
    "FAILED_IN_THE_MIDDLE": [Content("Hel"), Content("lo"), Failure(BROKE_OFF)],
    "INTERRUPTED": [Content("Hello "), _DONE],
    "WITHOUT_USAGE": [Content("Hello "), Content("there."), Finish("stop", None)],
}


@pytest.mark.parametrize("name", transcripts.ALL)
def test_a_transcript_becomes_exactly_these_deltas(name: str) -> None:
    assert _deltas(transcripts.ALL[name]) == _SEEN[name]


def test_every_transcript_is_in_the_table() -> None:
    assert set(_SEEN) == set(transcripts.ALL)


@pytest.mark.parametrize("name", ["REASONING", "COMMENTARY", "COMMAND", "THINKING_AFTER_WORK"])
def test_hidden_reasoning_leaves_the_answer_and_the_work(name: str) -> None:
    transcript: Transcript = transcripts.ALL[name]
    shown = [delta for delta in _deltas(transcript, show_reasoning=False) if isinstance(delta, Reasoning)]
    assert shown == ([Reasoning("$ ls -l")] if name in ("COMMAND", "THINKING_AFTER_WORK") else [])
    assert _content(_deltas(transcript, show_reasoning=False)) == _content(_deltas(transcript))


@pytest.mark.parametrize("name", ["COMMAND", "TWO_COMMANDS", "PATCH", "MCP", "SEARCH", "PLAN", "THINKING_AFTER_WORK"])
def test_hidden_activity_leaves_the_answer_and_the_reasoning(name: str) -> None:
    transcript: Transcript = transcripts.ALL[name]
    shown = [delta for delta in _deltas(transcript, show_activity=False) if isinstance(delta, Reasoning)]
    assert shown == {"COMMAND": [Reasoning("**Looking**")], "THINKING_AFTER_WORK": [Reasoning("Hm.")]}.get(name, [])
    assert _content(_deltas(transcript, show_activity=False)) == _content(_deltas(transcript))


def test_reasoning_and_answers_that_take_turns_are_kept_apart() -> None:
    transcript = completed(
        transcripts.reasoning("r1", ("One.",)), message("m1", "A."), transcripts.reasoning("r2", ("Two.",)), message("m2", "B.")
    )
    assert _deltas(transcript) == [Reasoning("One."), Content("A."), Reasoning("\n\nTwo."), Content("\n\nB."), _DONE]


def test_a_long_command_is_one_line_of_two_hundred_characters() -> None:
    command = Command("printf " + "x" * 1000 + "\n" * 50)
    (line, _) = _deltas(completed(transcripts.work("c1", command, command)))
    assert isinstance(line, Reasoning)
    assert (len(line.text), line.text[-1], "\n" in line.text) == (200, "…", False)


def test_a_stop_sequence_ends_the_answer_and_has_the_turn_interrupted() -> None:
    deltas = _chat_deltas(stop=("there",))
    fed = [deltas.feed(event) for event in transcripts.ALL["PLAIN"][:4]]
    assert (fed, deltas.enough) == ([[], [], [Content("Hello ")], []], True)
    assert deltas.feed(MessageDelta("m1", " More.")) == []
    assert deltas.feed(MessageDelta("m2", "And more.")) == []
    assert deltas.feed(TurnCompleted(USAGE, interrupted=True)) == [_DONE]


def test_a_turn_that_fails_while_it_is_interrupted_for_a_stop_sequence_has_ended_well() -> None:
    deltas = _chat_deltas(stop=("there",))
    for event in transcripts.ALL["PLAIN"][:4]:
        deltas.feed(event)
    assert deltas.feed(TurnFailed(BROKE_OFF, USAGE)) == [_DONE]


def test_a_stop_sequence_across_two_deltas_is_not_shown() -> None:
    assert _deltas(transcripts.ALL["PLAIN"], stop=("o th",)) == [Content("Hell"), _DONE]


def test_text_that_is_held_back_is_shown_at_the_end() -> None:
    assert _deltas(transcripts.ALL["PLAIN"], stop=(".!",)) == [Content("Hello "), Content("there"), Content("."), _DONE]


def test_a_stop_sequence_is_looked_for_in_the_answer_only() -> None:
    transcript = completed(
        transcripts.reasoning("r1", ("stop here",)), message("m1", "stop too", phase="commentary"), message("m2", "Go on, stop.")
    )
    assert _content(_deltas(transcript, stop=("stop",))) == "Go on, "
    assert Reasoning("stop here") in _deltas(transcript, stop=("stop",))


def test_the_break_between_two_messages_is_text_that_a_stop_sequence_finds() -> None:
    assert _deltas(transcripts.ALL["TWO_MESSAGES"], stop=("\n\n",)) == [Content("One."), _DONE]


@pytest.mark.parametrize(
    ("most", "finish", "content"), [(1, "length", "Hello "), (2, "stop", "Hello there."), (9, "stop", "Hello there.")]
)
def test_a_number_of_tokens_ends_the_answer_with_length(most: int, finish: FinishReason, content: str) -> None:
    deltas = _deltas(transcripts.ALL["PLAIN"], max_tokens=most)
    assert (_content(deltas), deltas[-1]) == (content, Finish(finish, USAGE))


def test_commentary_and_reasoning_do_not_count_as_tokens_of_the_answer() -> None:
    assert _content(_deltas(transcripts.ALL["COMMENTARY"], max_tokens=1)) == "Done."
    assert _content(_deltas(transcripts.ALL["REASONING"], max_tokens=1)) == "Done."


def test_what_is_held_back_is_shown_when_the_tokens_run_out() -> None:
    transcript = (
        TurnStarted(),
        MessageStarted("m1", None),
        MessageDelta("m1", "a<"),
        MessageDelta("m1", "b"),
        TurnCompleted(USAGE),
    )
    assert _deltas(transcript, stop=("<end>",), max_tokens=1) == [Content("a"), Content("<"), Finish("length", USAGE)]


def test_a_stream_tells_what_it_waits_for_and_a_whole_answer_does_not() -> None:
    waits = (Waiting("worker"), TurnStarted(), Waiting("provider"), *transcripts.ALL["REASONING"][1:])
    plain = _deltas(transcripts.ALL["REASONING"])
    told = _deltas(waits, show_waiting=True)
    assert told[:2] == [
        Reasoning("waiting for a free worker", only_waits=True),
        Reasoning("\nwaiting for the model provider, which failed and is asked again", only_waits=True),
    ]
    assert told[2:] == [Reasoning("\n\n**Looking"), *plain[1:]]
    assert _deltas(waits) == plain
    assert _deltas(waits, show_activity=False, show_waiting=True) == plain


def _chat_deltas(
    *,
    stop: tuple[str, ...] = (),
    max_tokens: int | None = None,
    show_reasoning: bool = True,
    show_activity: bool = True,
    show_waiting: bool = False,
) -> ChatDeltas:
    return ChatDeltas(
        stop=stop, max_tokens=max_tokens, show_reasoning=show_reasoning, show_activity=show_activity, show_waiting=show_waiting
    )


def _deltas(
    transcript: Transcript,
    *,
    stop: tuple[str, ...] = (),
    max_tokens: int | None = None,
    show_reasoning: bool = True,
    show_activity: bool = True,
    show_waiting: bool = False,
) -> list[Delta]:
    deltas = _chat_deltas(
        stop=stop, max_tokens=max_tokens, show_reasoning=show_reasoning, show_activity=show_activity, show_waiting=show_waiting
    )
    return [delta for event in transcript for delta in deltas.feed(event)]


def _content(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Content))
