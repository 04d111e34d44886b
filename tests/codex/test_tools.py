"""The client's tools among Codex's own: which names are taken, under which names the model sees them, and back."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codex_proxy.codex.tools import check, dynamic_tools, freeform_argument, group_to_model, place_of, to_model
from codex_proxy.codex.translate import Translator
from codex_proxy.errors import InvalidRequest
from codex_proxy.turns import Mode, Tool, ToolCalled
from tests.codex.lines import TURN, Line, line, translate

_names = st.text("abcx_-", min_size=1, max_size=3) | st.sampled_from(
    ("exec_command", "client_exec_command", "request_user_input", "mcp__a", "client_mcp__a", "client_", "client_x", "mcp_", "shell")
)
_fixed = settings(deadline=None, derandomize=True)


def _tool(name: str, namespace: str | None = None, *, freeform: bool = False) -> Tool:
    return Tool(name, f"The {name}.", '{"type":"object"}', namespace, freeform)


@pytest.mark.parametrize("mode", ["agent", "chat"])
@pytest.mark.parametrize("name", ["a", "get_weather", "Get-Weather-2", "x" * 64, "x" * 256, "web", "execute", "client_look", "0"])
def test_a_plain_name_may_be_used(name: str, mode: Mode) -> None:
    check((_tool(name), _tool(name, "group")), mode)


@pytest.mark.parametrize("mode", ["agent", "chat"])
@pytest.mark.parametrize("name", ["", " ", "a b", "a.b", "größe", "x" * 257, "a\n", "a/b", "１"])
def test_a_name_of_other_characters_is_refused_at_its_place(name: str, mode: Mode) -> None:
    assert _refused_at((_tool("look"), _tool(name)), mode) == "tools[1]"


@pytest.mark.parametrize("name", ["a b", "x" * 257])
def test_the_name_of_a_group_has_the_same_form(name: str) -> None:
    assert _refused_at((_tool("look", name),), "agent") == "tools[0]"


@pytest.mark.parametrize("name", ["exec_command", "apply_patch", "update_plan", "web_search", "shell", "view_image", "spawn_agent"])
def test_a_name_of_the_agents_own_tools_is_refused_for_an_agent_only(name: str) -> None:
    assert _refused_at((_tool("look"), _tool(name)), "agent") == "tools[1]"
    assert _refused_at((_tool("look"), _tool(name)), "chat") is None
    assert _refused_at((_tool(name, "group"),), "agent") is None


def test_a_name_twice_is_refused_where_it_comes_again() -> None:
    assert _refused_at((_tool("look"), _tool("see"), _tool("look")), "chat") == "tools[2]"
    assert _refused_at((_tool("look", "a"), _tool("look", "b"), _tool("look")), "chat") is None
    assert _refused_at((_tool("look", "a"), _tool("look", "a")), "chat") == "tools[1]"


def test_names_that_look_like_one_after_marking_stay_two() -> None:
    for name in ("exec_command", "mcp", "mcp__a"):
        group = (_tool(name), _tool(f"client_{name}"), _tool(f"client_client_{name}"))
        assert _refused_at(group, "chat") is None
        assert len({to_model(tool.name) for tool in group}) == 3
    assert _refused_at((_tool("look", "mcp__a"), _tool("look", "client_mcp__a")), "agent") is None
    assert _refused_at((_tool("look", "web"), _tool("look", "client_web")), "agent") is None


@pytest.mark.parametrize("length", [65, 128, 129, 256])
def test_a_name_over_64_characters_is_shortened_and_stays_apart_from_others(length: int) -> None:
    names = ["x" * length, "x" * (length - 1) + "y", "x" * 64]
    assert {len(to_model(name)) for name in names} == {64}
    assert len({to_model(name) for name in names}) == 3
    assert all(len(to_model(f"{start}{'x' * 62}")) == 64 for start in ("mcp__", "client_mcp__"))
    assert len(group_to_model("x" * length)) == 64


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("look", "look"),
        ("exec_command", "client_exec_command"),
        ("request_user_input", "client_request_user_input"),
        ("request_user_input_async", "client_request_user_input_async"),
        ("send_message_to_user_async", "client_send_message_to_user_async"),
        ("client_exec_command", "client_client_exec_command"),
        ("mcp", "client_mcp"),
        ("apply_patch", "client_apply_patch"),
        ("web", "web"),
        ("x" * 65, "x" * 51 + "_" + "9537c5fdf120"),
        ("mcp__clock__now", "client_mcp__clock__now"),
        ("mcp_clock", "mcp_clock"),
        ("shell", "shell"),
        ("client_look", "client_look"),
    ],
)
def test_a_name_that_codex_keeps_for_itself_is_marked(name: str, seen: str) -> None:
    assert to_model(name) == seen


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("web", "client_web"),
        ("clock", "client_clock"),
        ("mcp", "client_mcp"),
        ("mcp__a", "client_mcp__a"),
        ("shop", "shop"),
    ],
)
def test_the_name_of_a_group_that_codex_or_the_api_keeps_is_marked(name: str, seen: str) -> None:
    assert group_to_model(name) == seen


def test_the_place_of_a_refused_tool_is_found_by_the_name_that_codex_knows() -> None:
    tools = tuple(msgspec.structs.replace(_tool(name), place=f"tools[{place}]") for place, name in enumerate(("look", "mcp")))
    assert place_of("dynamic tool input schema is not supported for client_mcp: invalid type", tools) == "tools[1]"
    assert place_of("dynamic tool something else", tools) == "tools"


@_fixed
@given(st.lists(_names, max_size=5, unique=True))
@example(["client_exec_command", "exec_command"])
def test_every_tool_that_passes_the_check_is_called_by_its_own_name(names: list[str]) -> None:
    offered = tuple(_tool(name) for name in names)
    if _refused_at(offered, "chat") is not None:
        return
    translator = Translator(msgspec.structs.replace(TURN, mode="chat", tools=offered))
    assert translate(translator, [_called(to_model(name), name) for name in names]) == []
    assert translator.calls == [ToolCalled(name, name, "{}") for name in names]


def test_tools_are_dynamic_tools_with_their_groups_gathered() -> None:
    tools = (_tool("look"), _tool("see", "g"), _tool("exec_command"), _tool("hear", "g"), _tool("look", "mcp__h"))
    schema = {"type": "object"}

    def entry(name: str, told: str) -> dict[str, Any]:  # Any: any JSON
        return {"type": "function", "name": name, "description": f"The {told}.", "inputSchema": schema}

    assert _plain(dynamic_tools(tools)) == [
        entry("look", "look"),
        {
            "type": "namespace",
            "name": "g",
            "description": "The tools of g.",
            "tools": [entry("see", "see"), entry("hear", "hear")],
        },
        entry("client_exec_command", "exec_command"),
        {
            "type": "namespace",
            "name": "client_mcp__h",
            "description": "The tools of mcp__h.",
            "tools": [entry("look", "look")],
        },
    ]


def test_a_freeform_tool_is_a_function_of_one_text() -> None:
    (told,) = _plain(dynamic_tools((_tool("write", freeform=True),)))
    assert told["inputSchema"] == {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


@_fixed
@given(st.text())
def test_the_text_of_a_freeform_call_survives_the_way_there_and_back(text: str) -> None:
    assert freeform_argument(json.dumps({"input": text})) == text


@pytest.mark.parametrize("arguments", ["", "plain", "[]", "{}", '{"input":1}', '{"input"'])
def test_what_is_no_argument_of_a_freeform_tool_is_its_text(arguments: str) -> None:
    assert freeform_argument(arguments) == arguments


def test_calls_of_the_clients_tools_are_told_under_its_names_and_groups() -> None:
    tools = (_tool("exec_command"), _tool("look", "mcp__g"), _tool("write", freeform=True))
    lines = [
        _called("client_exec_command", "a", '{"x": 1}'),
        _called("look", "b", namespace="client_mcp__g"),
        _called("write", "c", '{"input":"plain"}'),
        _called("look", "d"),  # no tool of the client has this name outside the group
    ]
    translator = Translator(msgspec.structs.replace(TURN, mode="chat", tools=tools))
    assert translate(translator, lines) == []
    assert translator.calls == [
        ToolCalled("a", "exec_command", '{"x": 1}'),
        ToolCalled("b", "look", "{}", "mcp__g"),
        ToolCalled("c", "write", "plain"),
    ]


def test_of_several_calls_the_first_counts_where_one_is_allowed() -> None:
    translator = Translator(msgspec.structs.replace(TURN, tools=(_tool("look"),), one_call=True))
    translate(translator, [_called("look", "a"), _called("look", "b")])
    assert [call.call_id for call in translator.calls] == ["a"]


def test_calls_of_a_response_that_is_asked_for_again_are_forgotten() -> None:
    translator = Translator(msgspec.structs.replace(TURN, tools=(_tool("look"),)))
    translate(translator, [_called("look", "a")])
    translator.forget_calls()
    translate(translator, [_called("look", "b")])
    assert [call.call_id for call in translator.calls] == ["b"]


def test_a_call_of_the_clients_tool_leaves_the_process_clean() -> None:
    translator = Translator(msgspec.structs.replace(TURN, tools=(_tool("look"),)))
    translate(translator, [_called("look", "a")])
    assert not translator.ran_something


def _called(name: str, call_id: str, arguments: str = "{}", namespace: str | None = None) -> Line:
    item = {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id}
    return line("rawResponseItem/completed", item=item | ({"namespace": namespace} if namespace else {}))


def _plain(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:  # Any: any JSON
    """As JSON: schemas are raw text until then."""
    plain: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(entries))
    return plain


def _refused_at(tools: tuple[Tool, ...], mode: Mode) -> str | None:
    """The place that the refusal names; None: it passes."""
    placed = [msgspec.structs.replace(tool, place=f"tools[{index}]") for index, tool in enumerate(tools)]
    try:
        check(placed, mode)
    except InvalidRequest as error:
        return error.param
    return None
