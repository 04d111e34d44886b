"""POST /v1/responses, decoded: the input's items, the tools and the choice among them, and what else is asked for."""

import base64
import json
import re
from typing import Any

import msgspec
import pytest

from codex_proxy.codex.thread import history_items
from codex_proxy.dialects.responses import socket_messages
from codex_proxy.dialects.responses.request import ResponsesRequest, decode
from codex_proxy.errors import InvalidRequest, ProxyError, UnsupportedParameter
from codex_proxy.history import Answered, Called, History, Image, Message, Part, Reasoned, Text
from codex_proxy.turns import Tool, ToolCalled, Turn
from codex_proxy.wish import Wish
from tests.dialects.responses import BLANK, output_of
from tests.support import transcripts
from tests.support.pictures import PIXEL
from tests.support.transcripts import completed

Json = dict[str, Any]  # Any: any JSON

_EMPTY = '{"type":"object","properties":{}}'
_SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
_NOTE = "\n\nThe argument `input` is the tool's whole input, as plain text."
_LOOK: Json = {"type": "function", "name": "look"}
_SEE: Json = {"type": "function", "name": "see", "description": "Sees.", "parameters": _SCHEMA, "strict": True}
_USER: Json = {"role": "user", "content": "hi"}


# The input.


def test_a_text_is_the_input() -> None:
    assert (_wish(input="hi").history, _wish(input="hi").input) == ((), (Text("hi"),))


def test_instructions_come_first_and_the_last_message_of_the_user_is_the_input() -> None:
    wish = _wish(instructions="be kind", input=[{"role": "user", "content": "a"}, _USER])
    assert wish.history == (Message("developer", (Text("be kind"),)), Message("user", (Text("a"),)))
    assert wish.input == (Text("hi"),)


@pytest.mark.parametrize(
    ("role", "ours"), [("user", "user"), ("assistant", "assistant"), ("system", "developer"), ("developer", "developer")]
)
def test_a_message_keeps_its_role_with_and_without_a_type(role: str, ours: str) -> None:
    for item in ({"role": role, "content": "x"}, {"type": "message", "role": role, "content": "x", "id": "msg_1"}):
        assert _history(item) == [Message(ours, (Text("x"),))]  # type: ignore[arg-type]  # one of the roles


def test_every_kind_of_part_is_read() -> None:
    content = [
        {"type": "input_text", "text": "a"},
        {"type": "text", "text": "b"},
        {"type": "output_text", "text": "c", "annotations": []},
        {"type": "refusal", "refusal": "d"},
        {"type": "input_image", "image_url": PIXEL, "detail": "high"},
        {"type": "input_image", "image_url": PIXEL},
    ]
    texts: tuple[Part, ...] = (Text("a"), Text("b"), Text("c"), Text("d"))
    assert _wish(input=[{"role": "user", "content": content}]).input == (*texts, Image(PIXEL, "high"), Image(PIXEL))


@pytest.mark.parametrize(
    ("prefix", "encoding"),
    [("", "utf-8"), ("data:text/plain;base64,", "utf-16"), ("data:text/csv;charset=utf-8;base64,", "utf-8-sig")],
)
def test_a_file_of_text_is_text(prefix: str, encoding: str) -> None:
    given = prefix + base64.b64encode("Größe\n1".encode(encoding)).decode()
    named = {"type": "input_file", "filename": "a.csv", "file_data": given}
    assert _wish(input=[{"role": "user", "content": [named]}]).input == (Text("File a.csv:\nGröße\n1"),)
    nameless = {"type": "input_file", "file_data": given}
    assert _wish(input=[{"role": "user", "content": [nameless]}]).input == (Text("File without a name:\nGröße\n1"),)


def test_calls_and_their_outputs_are_history_and_the_model_goes_on_from_them() -> None:
    items = [
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "look", "arguments": '{"x": 1}', "status": "completed"},
        {"type": "function_call", "call_id": "b", "name": "see", "arguments": "{}", "namespace": "g"},
        {"type": "custom_tool_call", "call_id": "c", "name": "write", "input": 'a "b"\n'},
        {"type": "function_call_output", "call_id": "a", "output": "seen"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_image", "image_url": PIXEL}]},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "written"},
    ]
    wish = _wish(input=[_USER, *items])
    assert wish.input == ()
    assert wish.history == (
        Message("user", (Text("hi"),)),
        Called("a", "look", '{"x": 1}'),
        Called("b", "see", "{}", "g"),
        Called("c", "write", '{"input":"a \\"b\\"\\n"}'),
        Answered("a", (Text("seen"),)),
        Answered("b", (Image(PIXEL),)),
        Answered("c", (Text("written"),)),
    )
    assert wish.images


def test_reasoning_comes_back_to_the_provider_only_where_it_is_encrypted() -> None:
    summary = [{"type": "summary_text", "text": "Hm."}]
    assert _history({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "ENC"}) == [
        Reasoned("rs_1", ("Hm.",), "ENC")
    ]
    for given in ({}, {"encrypted_content": None}, {"encrypted_content": ""}):
        assert _history({"type": "reasoning", "id": "rs_1", "summary": summary} | given) == []


def test_items_that_say_nothing_are_left_out() -> None:
    assert _history({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}) == []
    assert _history({"role": "assistant", "content": []}) == []


@pytest.mark.parametrize("name", transcripts.ALL)
def test_every_item_that_we_send_may_come_back(name: str) -> None:
    output = output_of(transcripts.ALL[name], show_encrypted=True)
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "4"}
        for item in output
        if item["type"] == "function_call"
    ]
    wish = _wish(input=[_USER, *output, *outputs, _USER])
    assert wish.input == (Text("hi"),)
    said = [item for item in wish.history[1:] if isinstance(item, Message)]
    messages = [item for item in output if item["type"] == "message"]
    assert [(item.role, item.parts, item.phase) for item in said] == [
        ("assistant", (Text(item["content"][0]["text"]),), item.get("phase")) for item in messages
    ]
    calls = [item for item in output if item["type"] in ("function_call", "mcp_call")]
    assert [item.arguments for item in wish.history if isinstance(item, Called)] == [item["arguments"] for item in calls]
    assert len([item for item in wish.history if isinstance(item, Answered)]) == len(calls)


def test_reasoning_that_we_sent_comes_back_whole() -> None:
    (reasoned,) = [
        item for item in _history(*output_of(transcripts.ALL["REASONING"], show_encrypted=True)) if isinstance(item, Reasoned)
    ]
    assert reasoned == Reasoned("rs_1_0_r1", ("**Looking around**", "**Acting**"), "ENC")


def test_a_freeform_call_that_we_sent_comes_back_as_it_was_told() -> None:
    (sent,) = output_of(completed((ToolCalled("call_1", "write", "plain"),)), freeform_tools=frozenset(((None, "write"),)))
    output = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"}
    assert _history(sent, output) == [Called("call_1", "write", '{"input":"plain"}'), Answered("call_1", (Text("done"),))]


def test_the_agents_work_comes_back_as_a_call_and_its_output() -> None:
    assert _history(*output_of(transcripts.ALL["COMMAND"]))[:2] == [
        Called("mcp_1_1", "shell", '{"command":"ls  -l\\n"}', agents=True),
        Answered("mcp_1_1", (Text("one\ntwo\n"),), agents=True),
    ]


@pytest.mark.parametrize(("name", "problem"), [("COMMAND_FAILED", "exit code 1"), ("MCP_FAILED", "timed out")])
def test_the_agents_work_that_failed_comes_back_with_its_error(name: str, problem: str) -> None:
    (answered,) = [item for item in _history(*output_of(transcripts.ALL[name])) if isinstance(item, Answered)]
    assert problem in str(answered.parts)


@pytest.mark.parametrize("name", ["COMMAND", "PATCH", "MCP", "PLAN", "CALL"])
def test_every_name_of_a_call_that_comes_back_is_one_that_providers_take(name: str) -> None:
    # OpenAI answers 400 to a function_call in the input whose name is not of this pattern.
    output = output_of(transcripts.ALL[name])
    outputs = [{"type": "function_call_output", "call_id": "call_w", "output": ""}] if name == "CALL" else []
    called = [item["name"] for item in history_items(_history(*output, *outputs)) if item["type"] == "function_call"]
    assert [told for told in called if not re.fullmatch(r"[a-zA-Z0-9_-]+", told)] == []


# The tools.


def test_functions_custom_tools_and_groups_of_them_are_offered() -> None:
    group = {"type": "namespace", "name": "g", "description": "Both.", "tools": [_LOOK, {"type": "custom", "name": "write"}]}
    custom = {"type": "custom", "name": "write", "description": "Writes.", "format": {"type": "text"}}
    wish = _wish(tools=[_LOOK, _SEE, custom, group])
    assert wish.tools == (
        Tool("look", "", _EMPTY, place="tools[0]"),
        Tool("see", "Sees.", '{"type":"object","properties":{"city":{"type":"string"}}}', place="tools[1]"),
        Tool("write", f"Writes.{_NOTE}", "{}", freeform=True, place="tools[2]"),
        Tool("look", "", _EMPTY, "g", place="tools[3].tools[0]"),
        Tool("write", _NOTE, "{}", "g", freeform=True, place="tools[3].tools[1]"),
    )
    assert (wish.must_call, wish.web_search, wish.one_call) == (False, False, False)


@pytest.mark.parametrize("kind", ["web_search", "web_search_preview", "web_search_2025_08_26", "web_search_preview_2025_03_11"])
def test_a_web_search_is_switched_on_and_is_no_tool_of_the_client(kind: str) -> None:
    wish = _wish(tools=[{"type": kind, "search_context_size": "low"}, _LOOK])
    assert (wish.web_search, [tool.name for tool in wish.tools]) == (True, ["look"])


def test_what_codex_as_a_client_does_without_is_ignored_and_said_to_be() -> None:
    asked = _decoded(tools=[{"type": "tool_search"}, {"type": "image_generation"}, _LOOK], temperature=1, strange=1).continuing(())
    assert [tool.name for tool in asked.wish.tools] == ["look"]
    assert set(asked.ignored) == {"tools.tool_search", "tools.image_generation", "temperature", "strange"}


@pytest.mark.parametrize("kind", ["file_search", "computer_use_preview", "mcp", "code_interpreter", "local_shell", "x" * 500])
def test_any_other_tool_is_refused_by_name(kind: str) -> None:
    error = _refused(tools=[_LOOK, {"type": kind}])
    assert (type(error), error.param, kind[:64] in error.message) == (UnsupportedParameter, "tools[1].type", True)
    assert len(error.message) < 200


@pytest.mark.parametrize(
    ("choice", "names", "must_call"),
    [
        (None, ["look", "see", "write"], False),
        ("auto", ["look", "see", "write"], False),
        ("none", [], False),
        ("required", ["look", "see", "write"], True),
        ({"type": "function", "name": "see"}, ["see"], True),
        ({"type": "custom", "name": "write"}, ["write"], True),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [_LOOK, {"type": "custom", "name": "write"}]},
            ["look", "write"],
            False,
        ),
        ({"type": "allowed_tools", "mode": "required", "tools": [_LOOK]}, ["look"], True),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, [], False),
    ],
)
def test_a_choice_confines_the_tools(choice: Any, names: list[str], must_call: bool) -> None:  # Any: any JSON
    wish = _wish(tools=[_LOOK, _SEE, {"type": "custom", "name": "write"}], tool_choice=choice)
    assert ([tool.name for tool in wish.tools], wish.must_call) == (names, must_call)


def test_a_choice_of_no_tool_switches_the_web_search_off_too() -> None:
    wish = _wish(tools=[{"type": "web_search"}, _LOOK], tool_choice="none")
    assert (wish.tools, wish.web_search) == ((), False)


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "name": "hear"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "hear"}]},
    ],
)
def test_a_choice_that_must_be_called_and_is_not_there_is_refused(choice: Json) -> None:
    error = _refused(tools=[_LOOK], tool_choice=choice)
    assert (type(error), error.param) == (InvalidRequest, "tool_choice")


def test_a_choice_without_a_name_chooses_no_tool_that_is_called_none() -> None:
    assert _refused(tools=[_LOOK | {"name": "None"}], tool_choice={"type": "function"}).param is not None


@pytest.mark.parametrize("kind", ["file_search", "mcp", "code_interpreter", "image_generation", None])
def test_a_choice_of_another_type_is_refused(kind: str | None) -> None:
    error = _refused(tools=[_LOOK], tool_choice={"type": kind})
    assert (type(error), error.param) == (UnsupportedParameter, "tool_choice")


def test_one_call_at_a_time_is_what_no_parallel_calls_means() -> None:
    assert [_wish(parallel_tool_calls=given).one_call for given in (None, True, False)] == [False, False, True]


# The rest.


def test_what_is_asked_for_is_wished() -> None:
    wish = _wish(
        model="m",
        reasoning={"effort": "high", "summary": "detailed"},
        text={"verbosity": "low"},
        service_tier="flex",
        x_codex={"sandbox": "read-only", "mode": "chat", "cwd": "/w", "network_access": False, "expose_reasoning": True},
    )
    assert (wish.model, wish.effort, wish.effort_place, wish.summary) == ("m", "high", "reasoning.effort", "detailed")
    assert (wish.verbosity, wish.service_tier, wish.sandbox, wish.mode) == ("low", "flex", "read-only", "chat")
    assert (wish.cwd, wish.network, wish.expose_reasoning) == ("/w", False, True)


def test_an_effort_of_x_codex_counts_where_the_request_has_no_other() -> None:
    assert _wish(x_codex={"reasoning_effort": "low"}).effort_place == "x_codex.reasoning_effort"
    both = _wish(x_codex={"reasoning_effort": "low"}, reasoning={"effort": "high"})
    assert (both.effort, both.effort_place) == ("high", "reasoning.effort")


def test_encrypted_reasoning_and_activity_are_shown_as_asked_for() -> None:
    plain = _decoded()
    assert (plain.show_encrypted, plain.show_activity, plain.stream, plain.json) == (False, True, False, False)
    asked = _decoded(include=["reasoning.encrypted_content"], x_codex={"activity": "none"}, stream=True)
    assert (asked.show_encrypted, asked.show_activity, asked.stream) == (True, False, True)


def test_the_response_echoes_the_request() -> None:
    turn = Turn("t", "gpt", "low", "agent", "read-only", False, "/w", (), (), summary="none", service_tier="flex")
    asked = _decoded(
        instructions="be kind",
        tools=[_LOOK, {"type": "web_search"}],
        tool_choice={"type": "function", "name": "look"},
        text={"format": {"type": "json_schema", "name": "n", "schema": _SCHEMA}, "verbosity": "low"},
        temperature=0,
        metadata={"a": "b"},
        user="u",
        parallel_tool_calls=False,
        max_output_tokens=5,
    )
    told = msgspec.json.decode(msgspec.json.encode(asked.blank_response("resp_1", 1, turn)))
    assert told["tools"] == [_LOOK | {"description": None, "parameters": None, "strict": None}, {"type": "web_search"}]
    assert told["text"]["format"] == {"type": "json_schema", "name": "n", "description": None, "schema": _SCHEMA, "strict": False}
    assert (told["model"], told["reasoning"]) == ("gpt", {"effort": "low", "summary": None})
    assert (told["temperature"], told["parallel_tool_calls"], told["max_output_tokens"]) == (0, False, 5)
    assert (told["tool_choice"], told["user"], told["metadata"]) == ({"type": "function", "name": "look"}, "u", {"a": "b"})
    assert (told["instructions"], told["service_tier"], told["output"]) == ("be kind", "flex", [])


def test_the_response_to_a_bare_request_is_the_blank_one() -> None:
    turn = Turn("t", "m", "medium", "agent", "read-only", False, "/w", (), ())
    blank = _decoded(store=False).blank_response("resp_1", 1, turn)
    assert msgspec.json.encode(blank) == msgspec.json.encode(BLANK)


def _decoded(**members: Any) -> ResponsesRequest:  # Any: any JSON
    return decode(msgspec.json.encode({"input": "hi"} | members))


def _wish(**members: Any) -> Wish:  # Any: any JSON
    return _decoded(**members).continuing(()).wish


def _history(*items: Json) -> list[History]:
    """The history that these items are, before a message of the user's."""
    return list(_wish(input=[*items, _USER]).history)


def _refused(**members: Any) -> ProxyError:  # Any: any JSON
    with pytest.raises(ProxyError) as caught:
        _decoded(**members).continuing(())
    return caught.value


@pytest.mark.parametrize("members", [{}, {"input": None}, {"input": []}])
def test_steering_goes_before_an_input_that_may_be_missing(members: Json) -> None:
    create = socket_messages.decode(json.dumps({"type": "response.create", **members}).encode())
    steer = socket_messages.decode(b'{"type": "response.steer", "previous_response_id": "resp_1", "input": "go"}')
    assert isinstance(create, socket_messages.Create)
    assert isinstance(steer, socket_messages.Steer)
    after = json.loads(create.after([steer], create.content).content)
    assert after == {"input": [{"type": "message", "role": "user", "content": "go"}]}
