"""Every kind of item that the official SDK knows as input: what the provider gets of it, on the real CLI."""

import typing
from collections.abc import AsyncIterator
from typing import Any, get_args, get_type_hints

from openai.types.responses import ResponseInputItemParam

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from codex_proxy.dialects.responses import replay
from tests.conftest import Proxy
from tests.live.test_everyday_requests import told
from tests.support.pictures import PIXEL
from tests.support.refusals import RESPONSES, post, refusal

Json = dict[str, Any]  # Any: any JSON

_HI: Json = {"role": "user", "content": "hi"}
_TEXT = {"type": "input_text", "text": "hi"}
_SAID: Json = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]}
_FUNCTION: Json = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
_IMAGE = {"type": "input_image", "image_url": PIXEL}


def _call(name: str, arguments: str, call_id: str = "c") -> Json:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def _output(output: object, call_id: str = "c") -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


# By kind: items as a client replays them, and what the provider gets of them, beside a last message "hi".
_TOLD: dict[str, tuple[list[Json], list[Json]]] = {
    "message": ([{"type": "message", "role": "user", "content": [_TEXT]}, _SAID], [{"role": "user"}, {"role": "assistant"}]),
    "function_call": ([_call("look", "{}"), _output("1")], [_call("look", "{}"), _output("1")]),
    "function_call_output": ([_call("look", "{}"), _output([_TEXT, _IMAGE])], [_call("look", "{}"), _output([_TEXT, _IMAGE])]),
    "custom_tool_call": (
        [
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "note", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "1"},
        ],
        [_call("note", '{"input":"x"}'), _output("1")],
    ),
    "reasoning": (
        [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "reasoning", "id": "rs_2", "summary": []},
        ],
        [{"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA"}],
    ),
    "file_search_call": (
        [
            {
                "type": "file_search_call",
                "id": "fs_1",
                "status": "completed",
                "queries": ["price"],
                "results": [{"file_id": "file_1", "filename": "a.txt", "text": "42", "score": 0.9}],
            },
            {"type": "file_search_call", "id": "fs_2", "status": "completed", "queries": ["none"], "results": None},
        ],
        [_call("file_search", '{"queries":["price"]}', "fs_1"), _output("a.txt:\n42", "fs_1")],
    ),
    "web_search_call": ([{"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}], []),
    "computer_call": (
        [
            {
                "type": "computer_call",
                "id": "cu_1",
                "call_id": "c",
                "status": "completed",
                "action": {"type": "screenshot"},
                "pending_safety_checks": [],
            },
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": PIXEL},
            },
        ],
        [_call("computer", '{"action":{"type":"screenshot"}}'), _output([_IMAGE])],
    ),
    "image_generation_call": (
        [
            {
                "type": "image_generation_call",
                "id": "ig_1",
                "status": "completed",
                "result": PIXEL.partition(",")[2],
                "revised_prompt": "a dot",
            },
            {"type": "image_generation_call", "id": "ig_2", "status": "failed", "result": None},
        ],
        [_call("image_generation", '{"prompt":"a dot"}', "ig_1"), _output([_IMAGE], "ig_1")],
    ),
    "code_interpreter_call": (
        [
            {
                "type": "code_interpreter_call",
                "id": "ci_1",
                "status": "completed",
                "code": "print(1)",
                "container_id": "cntr_1",
                "outputs": [{"type": "logs", "logs": "1"}, {"type": "image", "url": "https://x.example/a.png"}],
            },
            {
                "type": "code_interpreter_call",
                "id": "ci_2",
                "status": "completed",
                "code": "2",
                "container_id": "x",
                "outputs": None,
            },
        ],
        [_call("code_interpreter", '{"code":"print(1)"}', "ci_1"), _output("1\n[image: https://x.example/a.png]", "ci_1")],
    ),
    "local_shell_call": (
        [
            {
                "type": "local_shell_call",
                "id": "lsh_1",
                "call_id": "c",
                "status": "completed",
                "action": {"type": "exec", "command": ["ls"], "env": {}},
            },
            {"type": "local_shell_call_output", "id": "c", "output": "a.txt"},
        ],
        [_call("local_shell", '{"action":{"type":"exec","command":["ls"],"env":{}}}'), _output("a.txt")],
    ),
    "shell_call": (
        [
            {"type": "shell_call", "id": "sh_1", "call_id": "c", "action": {"commands": ["ls", "false"]}},
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [
                    {"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}},
                    {"stdout": "", "stderr": "no", "outcome": {"type": "exit", "exit_code": 1}},
                    {"stdout": "", "stderr": "", "outcome": {"type": "timeout"}},
                ],
            },
        ],
        [_call("shell", '{"action":{"commands":["ls","false"]}}'), _output("a.txt\nno\n[exit 1]\n[timeout]")],
    ),
    "apply_patch_call": (
        [
            {
                "type": "apply_patch_call",
                "call_id": "c",
                "status": "completed",
                "operation": {"type": "delete_file", "path": "a.txt"},
            },
            {"type": "apply_patch_call_output", "call_id": "c", "status": "completed"},
        ],
        [_call("client_apply_patch", '{"operation":{"type":"delete_file","path":"a.txt"}}'), _output("completed")],
    ),
    "program": (
        [
            {"type": "program", "id": "p_1", "call_id": "c", "code": "await look()", "fingerprint": "f"},
            _call("look", "{}", "d") | {"caller": {"type": "program", "caller_id": "c"}},
            _output("1", "d"),
            {"type": "program_output", "id": "po_1", "call_id": "c", "result": "2", "status": "completed"},
        ],
        [_call("program", '{"code":"await look()"}'), _call("look", "{}", "d"), _output("1", "d"), _output("2")],
    ),
    "mcp_call": (
        [{"type": "mcp_call", "id": "mcp_1", "server_label": "git", "name": "git.log", "arguments": "{}", "output": "none"}],
        [_call("git_log", "{}", "mcp_1"), _output("none", "mcp_1")],
    ),
    "mcp_list_tools": ([{"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "git", "tools": []}], []),
    "mcp_approval_request": (
        [
            {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "git", "name": "push", "arguments": "{}"},
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": False, "reason": "Too early."},
        ],
        [_call("push", "{}", "mcpr_1"), _output("The user did not approve this call. Too early.", "mcpr_1")],
    ),
    "mcp_approval_response": (
        [
            {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "git", "name": "push", "arguments": "{}"},
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
            {
                "type": "mcp_call",
                "id": "mcp_1",
                "server_label": "git",
                "name": "push",
                "arguments": "{}",
                "output": "done",
                "approval_request_id": "mcpr_1",
            },
        ],
        [_call("push", "{}", "mcp_1"), _output("done", "mcp_1")],
    ),
    "tool_search_call": ([{"type": "tool_search_call", "call_id": "c", "arguments": {"query": "x"}, "execution": "client"}], []),
    "tool_search_output": ([{"type": "tool_search_output", "call_id": "c", "tools": [_FUNCTION]}], []),
    "additional_tools": ([{"type": "additional_tools", "role": "developer", "tools": [_FUNCTION]}], []),
    "configuration_update": ([{"type": "configuration_update", "reasoning": {"effort": "low"}}], []),
}
_WITH_THEIR_CALLS = {f"{kind}_output" for kind in ("custom_tool_call", "computer_call", "local_shell_call")} | {
    f"{kind}_output" for kind in ("shell_call", "apply_patch_call", "program")
}
_ELSEWHERE = {"item_reference", "compaction", "compaction_trigger"}  # test_item_references, test_openai_sdk_compact


def _without_detail(item: Json) -> Json:
    """The item without the detail that 0.169.0 and newer add to images."""
    parts = item.get("output")
    if not isinstance(parts, list):
        return item
    return item | {"output": [{name: part[name] for name in part if name != "detail"} for part in parts]}


def _kinds_of_the_sdk() -> set[str]:
    found: set[str] = set()
    for member in get_args(ResponseInputItemParam):
        hint = get_type_hints(member)["type"]
        literals = [one for one in (hint, *get_args(hint)) if typing.get_origin(one) is typing.Literal]
        found |= {kind for literal in literals for kind in get_args(literal)}
    return found


def test_there_is_a_decision_on_every_kind_of_the_official_sdk() -> None:
    kinds = _kinds_of_the_sdk()
    assert len(kinds) > 25
    assert kinds == {*_TOLD} | _WITH_THEIR_CALLS | _ELSEWHERE
    assert kinds == replay.KINDS


async def test_what_carries_a_result_is_told_and_a_mere_record_is_left_out(proxy: Proxy, model: ModelServer) -> None:
    for kind, (items, wanted) in _TOLD.items():
        answer = await post(proxy, {"model": "gpt-5.6-sol chat", "input": [*items, _HI]}, route=RESPONSES)
        assert answer.status == 200, (kind, await answer.text())
        got = told(model.requests[-1], "reasoning", "function_call", "function_call_output")
        assert len(got) == len(wanted) + 1, (kind, got)
        for item, expected in zip(got, wanted, strict=False):
            assert expected.items() <= _without_detail(item).items(), (kind, item)


async def test_tools_of_items_join_those_of_the_request_for_the_rest_of_the_conversation(proxy: Proxy, model: ModelServer) -> None:
    group = {"type": "namespace", "name": "git", "description": "Git.", "tools": [_FUNCTION | {"name": "log"}]}
    items = [
        {"type": "additional_tools", "role": "developer", "tools": [group, {"type": "web_search"}]},
        {"type": "tool_search_output", "call_id": "c", "tools": [_FUNCTION | {"description": "Looks again."}]},
        _HI,
    ]
    body = {"model": "gpt-5.5 chat", "tools": [_FUNCTION]}
    first = await (await post(proxy, body | {"input": items}, route=RESPONSES)).json()
    assert first["status"] == "completed"
    again = await post(proxy, body | {"input": "go on", "previous_response_id": first["id"]}, route=RESPONSES)
    assert again.status == 200, await again.text()
    for request in model.requests:
        tools = {tool.get("name", tool["type"]): tool for tool in request.tools}
        assert tools["look"]["description"] == "Looks again."
        assert [tool["name"] for tool in tools["git"]["tools"]] == ["log"]
        assert "web_search" in tools


async def test_a_choice_counts_for_the_tools_of_items_too(proxy: Proxy, model: ModelServer) -> None:
    items = [{"type": "additional_tools", "role": "developer", "tools": [_FUNCTION, _FUNCTION | {"name": "see"}]}, _HI]
    for choice, names in (({"type": "function", "name": "see"}, {"see"}), ("none", set())):
        answer = await post(proxy, {"model": "gpt-5.5 chat", "input": items, "tool_choice": choice}, route=RESPONSES)
        assert answer.status == 200, await answer.text()
        assert {name for name in model.requests[-1].tool_names if name in ("look", "see")} == names


async def test_an_effort_of_an_item_holds_until_another_one(proxy: Proxy, model: ModelServer) -> None:
    update: Json = {"type": "configuration_update", "reasoning": {"effort": "low"}, "text": {"format": {"type": "text"}}}
    body = {"model": "gpt-5.5 chat", "reasoning": {"effort": "medium"}}
    first = await (await post(proxy, body | {"input": [update, _HI]}, route=RESPONSES)).json()
    assert first["reasoning"]["effort"] == "low"
    second = body | {"input": "and?", "previous_response_id": first["id"]}
    assert (await post(proxy, second, route=RESPONSES)).status == 200
    third = body | {"input": [update | {"reasoning": {"effort": "high"}}, _HI], "previous_response_id": first["id"]}
    assert (await post(proxy, third, route=RESPONSES)).status == 200
    assert [request.body["reasoning"]["effort"] for request in model.requests] == ["low", "low", "high"]


async def test_a_form_of_an_item_holds_until_another_one(proxy: Proxy, model: ModelServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(('{"a":"b"}',))

    model.script = script
    form = {"type": "json_schema", "name": "a", "strict": True, "schema": schema}
    update = {"type": "configuration_update", "text": {"format": form}}
    body = {"model": "gpt-5.5 chat", "text": {"verbosity": "low"}}
    first = await (await post(proxy, body | {"input": [update, _HI]}, route=RESPONSES)).json()
    assert form.items() <= first["text"]["format"].items()
    assert first["text"]["verbosity"] == "low"
    assert (await post(proxy, body | {"input": "and?", "previous_response_id": first["id"]}, route=RESPONSES)).status == 200
    plain = [update | {"text": {"format": {"type": "text"}}}, _HI]
    last = await (await post(proxy, body | {"input": plain, "previous_response_id": first["id"]}, route=RESPONSES)).json()
    assert last["text"]["format"] == {"type": "text"}
    assert [request.body["text"].get("format", {}).get("schema") for request in model.requests] == [schema, schema, None]


async def test_what_would_have_to_be_done_is_refused(proxy: Proxy, model: ModelServer) -> None:
    form = {"type": "json_schema", "name": "a", "strict": True, "schema": {"type": "array", "items": {"type": "string"}}}
    rows: dict[str, tuple[Json, str]] = {
        "an approval that a call is to follow": (
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
            "input[1]",
        ),
        "a screenshot that is a file": (
            {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "file_id": "file_1"}},
            "input[1].output",
        ),
        "an unknown kind": ({"type": "smell"}, "input[1].type"),
    }
    for name, (item, place) in rows.items():
        answer = await post(proxy, {"input": [_HI, item]}, route=RESPONSES)
        assert answer.status == 400, name
        assert ((error := await refusal(answer)).param, error.code) == (place, "unsupported_parameter"), name
    answer = await post(proxy, {"input": [_HI, {"type": "configuration_update", "text": {"format": form}}]}, route=RESPONSES)
    assert (await refusal(answer)).param == "input[1].text.format.schema"
    assert model.calls == 0
