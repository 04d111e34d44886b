"""What became of a turn: its ending, its times, and its line for a log and for somebody who watches."""

import logging

import pytest

from codex_proxy.errors import NotReady, TurnTimeout, UpstreamFailed, WorkerFailed
from codex_proxy.history import Text
from codex_proxy.outcome import Course, Outcome, brief
from codex_proxy.turns import MessageDelta, Turn, TurnCompleted, TurnEnd, TurnFailed, TurnStarted, Usage

_TURN = Turn("t", "gpt-5.5", None, "agent", "read-only", False, "/", (), (Text("a secret"),))
_USAGE = Usage(input=14_200, cached=12_000, output=36, reasoning=4)
_FAILED = TurnFailed(UpstreamFailed("The provider answered 500."))


@pytest.mark.parametrize(
    ("end", "started", "left", "interrupted", "ending"),
    [
        (TurnCompleted(None), True, False, False, "completed"),
        (TurnCompleted(None, interrupted=True), True, False, True, "interrupted"),
        (TurnCompleted(None, interrupted=True), False, False, True, "interrupted"),
        (TurnCompleted(None), True, True, False, "client_left"),
        (_FAILED, True, True, False, "client_left"),
        (_FAILED, True, False, False, "failed:upstream_error"),
        (_FAILED, True, False, True, "failed:upstream_error"),
        (TurnFailed(WorkerFailed("It broke.")), True, False, False, "failed:worker_crashed"),
        (TurnFailed(TurnTimeout("Too long.")), True, False, False, "timeout"),
        (TurnFailed(NotReady("Waited.")), False, False, False, "queue_timeout"),
        (TurnFailed(NotReady("Waited.")), False, False, True, "interrupted"),
        (TurnFailed(NotReady("Not logged in.")), True, False, False, "failed:not_ready"),
    ],
)
def test_an_ending_says_what_happened(end: TurnEnd, started: bool, left: bool, interrupted: bool, ending: str) -> None:
    course = Course(_TURN)
    if started:
        course.begin()
    outcome = course.outcome(end, left=left, interrupted=interrupted)
    assert outcome.ending == ending
    assert (outcome.took is None) == (not started)
    assert outcome.error is (end.error if isinstance(end, TurnFailed) else None)


def test_times_count_from_when_a_worker_got_the_turn() -> None:
    course = Course(_TURN)
    course.begin()
    course.note(TurnStarted("live"))
    course.note(MessageDelta("m", "Hi"))
    outcome = course.outcome(TurnCompleted(_USAGE), left=False, interrupted=False)
    assert outcome.took is not None
    assert outcome.first_text is not None
    assert 0 <= outcome.first_text <= outcome.took
    assert outcome.waited >= 0
    assert (outcome.continuation, outcome.usage) == ("live", _USAGE)


@pytest.mark.parametrize(
    ("ending", "error", "waited", "level", "short"),
    [
        ("completed", None, 0.2, logging.INFO, "✓ gpt-5.5 agent  0.6 s  14k→36 tok"),
        ("completed", None, 3.4, logging.INFO, "✓ gpt-5.5 agent  0.6 s  waited 3 s  14k→36 tok"),
        ("client_left", None, 0.2, logging.INFO, "■ gpt-5.5 agent  0.6 s  14k→36 tok  client left"),
        ("interrupted", None, 0.2, logging.INFO, "■ gpt-5.5 agent  0.6 s  14k→36 tok  interrupted"),
        (
            "failed:upstream_error",
            UpstreamFailed("The provider answered 500."),
            0.2,
            logging.WARNING,
            "✗ gpt-5.5 agent  0.6 s  14k→36 tok  upstream_error  The provider answered 500.",
        ),
    ],
)
def test_a_turn_has_one_line_and_nothing_of_its_prompt_is_in_it(
    caplog: pytest.LogCaptureFixture, ending: str, error: UpstreamFailed | None, waited: float, level: int, short: str
) -> None:
    outcome = Outcome(
        turn=_TURN, ending=ending, waited=waited, first_text=0.1, took=0.6, usage=_USAGE, error=error, continuation="new"
    )
    with caplog.at_level(logging.INFO):
        outcome.log()
    (record,) = caplog.records
    assert (record.levelno, vars(record)["terminal"]) == (level, short)
    assert vars(record)["members"]["outcome"] == ending
    assert "secret" not in str(vars(record))
    assert error is None or error.logged


def test_numbers_of_tokens_are_brief() -> None:
    assert [brief(number) for number in (0, 999, 1000, 9_949, 10_000, 123_456)] == ["0", "999", "1.0k", "9.9k", "10k", "123k"]
