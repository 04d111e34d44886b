"""What a turn is doing this second, read off its events."""

import pytest

from codex_proxy.activity import Activity, Doing, one_line
from codex_proxy.turns import (
    Command,
    McpCall,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    Patch,
    PlanUpdated,
    ReasoningCompleted,
    ReasoningDelta,
    ReasoningStarted,
    Search,
    ToolCalled,
    TurnEvent,
    TurnStarted,
    Waiting,
    WorkCompleted,
    WorkProgress,
    WorkStarted,
)

_PATCH = Patch(tuple((f"/srv/secret-place/{name}.py", "update", "+1") for name in "abcde"))


def test_each_step_of_a_turn_is_told_with_the_time_that_it_began() -> None:
    steps: list[tuple[TurnEvent, str, str]] = [
        (TurnStarted(), "waiting", ""),
        (Waiting("provider"), "retrying", ""),
        (ReasoningStarted("r"), "thinking", ""),
        (ReasoningCompleted("r", ()), "waiting", ""),
        (WorkStarted("c", Command("pytest -q\n# then more")), "command", "pytest -q…"),
        (WorkCompleted("c", Command("pytest -q", "ok", 0)), "waiting", ""),
        (WorkStarted("p", _PATCH), "patch", "a.py, b.py, c.py and 2 more"),
        (WorkCompleted("p", _PATCH), "waiting", ""),
        (WorkStarted("m", McpCall("docs", "find", '{"secret": 1}')), "mcp_call", "docs.find"),
        (WorkCompleted("m", McpCall("docs", "find", "{}")), "waiting", ""),
        (WorkStarted("s", Search("cats")), "search", "cats"),
        (WorkCompleted("s", Search("cats")), "waiting", ""),
        (MessageStarted("a", None), "writing", ""),
        (MessageCompleted("a", "Hi."), "waiting", ""),
        (ToolCalled("1", "get_weather", "{}"), "tool_call", "get_weather"),
    ]
    activity = Activity(now=0.0)
    assert activity.doing == Doing("starting", "", 0.0)
    for now, (event, kind, text) in enumerate(steps, 1):
        assert activity.note(event, float(now))
        assert activity.doing == Doing(kind, text, float(now))  # type: ignore[arg-type]


def test_more_of_the_same_changes_nothing() -> None:
    activity = Activity(now=0.0)
    activity.note(MessageStarted("a", None), 1.0)
    assert not activity.note(MessageDelta("a", "word"), 2.0)
    activity.note(WorkStarted("c", Command("sleep 9")), 3.0)
    assert not activity.note(WorkProgress("c", "output"), 4.0)
    assert not activity.note(PlanUpdated((("a step", "pending"),)), 5.0)
    assert not activity.note(Waiting("worker"), 6.0)
    assert activity.doing == Doing("command", "sleep 9", 3.0)
    assert activity.note(ReasoningDelta("r", 0, "hm"), 6.0)


def test_of_several_commands_the_latest_that_still_runs_is_told() -> None:
    activity = Activity(now=0.0)
    activity.note(WorkStarted("long", Command("make")), 1.0)
    activity.note(WorkStarted("short", Command("ls")), 2.0)
    activity.note(WorkCompleted("short", Command("ls", "", 0)), 3.0)
    assert activity.doing == Doing("command", "make", 1.0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("\n\n  ls -l \n", "ls -l"),
        ("\x1b[2J\x1b]0;title\x07rm -rf /", "[2J]0;titlerm -rf /"),
        ("a\u202etxt.exe\u200b\x00", "atxt.exe"),
        ("x" * 500, "x" * 119 + "…"),
        ("x" * 3_000_000, "x" * 119 + "…"),
        ("one\ntwo", "one…"),
    ],
)
def test_a_line_is_one_line_short_and_without_control_characters(text: str, line: str) -> None:
    assert one_line(text) == line
