"""Lines of the CLI on the agent's own work in, TurnEvents out: commands, patches, MCP calls, searches, the plan."""

from typing import Any

import pytest

from codex_proxy.codex.translate import Translator
from codex_proxy.turns import Command, McpCall, Patch, PlanUpdated, Search, WorkCompleted, WorkProgress, WorkStarted
from tests.codex.lines import TURN, call, call_output, item_completed, item_started, line, translate, translated


def test_a_command_of_which_the_cli_tells_nothing_is_told_by_the_models_call_and_its_output() -> None:
    said = "Chunk ID: 1\nWall time: 0.0000 seconds\nProcess exited with code 126\nOriginal token count: 2\nOutput:\ndenied\n"
    lines = (call("exec_command", '{"cmd":"cat /secret"}', "c1"), call_output("c1", said))
    assert translated(*lines) == [
        WorkStarted("c1", Command("cat /secret")),
        WorkCompleted("c1", Command("cat /secret", said, 126)),
    ]


def test_the_output_of_a_command_may_come_in_parts_and_without_an_exit_code() -> None:
    parts = [{"type": "input_text", "text": "sandbox "}, {"type": "input_text", "text": "denied"}, {"type": "input_image"}, "?"]
    lines = (call("exec_command", '{"cmd":"x"}', "c1"), call_output("c1", parts))
    assert translated(*lines)[1:] == [WorkCompleted("c1", Command("x", "sandbox denied"))]


def test_a_command_is_told_once_though_the_cli_tells_of_it_too() -> None:
    item = {"type": "commandExecution", "id": "c1", "command": "/bin/bash -lc 'ls -l'"}
    lines = (
        call("exec_command", '{"cmd":"ls -l"}', "c1"),
        item_started(**item),
        line("item/commandExecution/outputDelta", itemId="c1", delta="one\n"),
        item_completed(**item, aggregatedOutput="one\n", exitCode=0),
        call_output("c1", "Process exited with code 0\nOutput:\none\n"),
    )
    assert translated(*lines) == [
        WorkStarted("c1", Command("ls -l")),
        WorkProgress("c1", "one\n"),
        WorkCompleted("c1", Command("ls -l", "one\n", 0)),
    ]


def test_the_output_of_a_call_that_was_never_told_of_is_nothing() -> None:
    assert translated(call_output("c9", "x"), call("update_plan", "{}", "c1"), call_output("c1", "Plan updated")) == []


@pytest.mark.parametrize(
    ("told", "typed"),
    [
        ("/bin/bash -lc 'echo hi'", "echo hi"),
        ("bash -c 'a && b'", "a && b"),
        ("/bin/zsh -lc ls", "ls"),
        ("""/bin/bash -lc "printf 'one\\\\ntwo\\\\n'\"""", "printf 'one\\ntwo\\n'"),
        ("ls -l", "ls -l"),
        ("/bin/bash -lc 'echo hi' more", "/bin/bash -lc 'echo hi' more"),
        ("it's broken", "it's broken"),
        ("", ""),
    ],
)
def test_a_command_is_shown_as_it_was_typed(told: str, typed: str) -> None:
    assert translated(item_started(type="commandExecution", id="c1", command=told)) == [WorkStarted("c1", Command(typed))]


@pytest.mark.parametrize("arguments", ["", "not JSON", "[]", "{}", '{"cmd":1}', '{"command":["ls"]}'])
def test_arguments_that_are_no_command_are_shown_as_the_model_wrote_them(arguments: str) -> None:
    assert translated(call("exec_command", arguments, "c1")) == [WorkStarted("c1", Command(arguments))]


@pytest.mark.parametrize(
    ("status", "succeeded"), [("inProgress", True), ("completed", True), ("failed", False), ("declined", False)]
)
def test_a_patch_has_its_changes_and_whether_it_succeeded(status: str, succeeded: bool) -> None:
    changes = [
        {"path": "/w/a", "kind": {"type": "add"}, "diff": "x\n"},
        {"path": "/w/b", "kind": {"type": "update", "move_path": "/w/c"}, "diff": "@@"},
        {"path": "/w/d", "kind": {"type": "delete"}},
        {"path": "/w/e", "kind": {}},
    ]
    told = (("/w/a", "add", "x\n"), ("/w/b", "update", "@@"), ("/w/d", "delete", ""), ("/w/e", "update", ""))
    lines = item_completed(type="fileChange", id="p1", changes=changes, status=status)
    assert translated(lines) == [WorkCompleted("p1", Patch(told, succeeded))]


def test_an_mcp_call_that_broke_has_its_error_and_its_progress_is_told() -> None:
    item = {"type": "mcpToolCall", "id": "t1", "server": "s", "tool": "t", "arguments": None}
    lines = (
        line("item/mcpToolCall/progress", itemId="t1", message="half way"),
        item_completed(**item, error={"message": "timed out"}, status="failed"),
    )
    assert translated(*lines) == [
        WorkProgress("t1", "half way"),
        WorkCompleted("t1", McpCall("s", "t", "null", None, "timed out")),
    ]


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ({"type": "search", "query": "q"}, "search"),
        ({"type": "openPage", "url": "https://a.example"}, "open_page"),
        ({"type": "findInPage", "pattern": "x"}, "find_in_page"),
        ({"type": "other"}, "search"),
        (None, "search"),
    ],
)
def test_a_search_says_what_it_does(action: dict[str, Any] | None, told: str) -> None:  # Any: the wire's own
    assert translated(item_started(type="webSearch", id="s1", query="q", action=action)) == [WorkStarted("s1", Search("q", told))]


def test_a_plan_has_our_words_for_its_states() -> None:
    steps = [{"step": "a", "status": "completed"}, {"step": "b", "status": "inProgress"}, {"step": "c", "status": "pending"}]
    assert translated(line("turn/plan/updated", explanation=None, plan=steps)) == [
        PlanUpdated((("a", "completed"), ("b", "in_progress"), ("c", "pending")))
    ]


@pytest.mark.parametrize(
    ("name", "kind", "ran"),
    [
        ("exec_command", "function_call", True),
        ("apply_patch", "custom_tool_call", True),
        ("write_stdin", "function_call", True),
        ("time_in", "mcp_call", True),
        ("", "local_shell_call", True),
        ("something_new", "function_call", True),
        ("update_plan", "function_call", False),
        ("", "message", False),
        ("", "reasoning", False),
        ("", "web_search_call", False),
        ("", "function_call_output", False),
    ],
)
def test_a_turn_ran_something_when_the_model_called_anything_that_may_leave_a_trace(name: str, kind: str, ran: bool) -> None:
    translator = Translator(TURN)
    translate(translator, [line("rawResponseItem/completed", item={"type": kind, "name": name, "call_id": "c1"})])
    assert translator.ran_something is ran
