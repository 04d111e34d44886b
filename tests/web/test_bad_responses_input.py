"""Whatever is wrong with the body of a Responses request is a 400 that names the place, as on the chat route."""

import base64
from typing import Any

from codex_proxy.dialects.responses.hosted import (
    CodeRun,
    FileSearch,
    ImageMade,
    McpCallInput,
    RanCall,
    RanOutput,
)
from codex_proxy.dialects.responses.input import (
    CallOutput,
    CustomToolCall,
    FunctionCall,
    McpApproval,
    MessageItem,
    ReasoningInput,
)
from codex_proxy.dialects.responses.request_body import Body
from codex_proxy.dialects.responses.tools import Custom, Function, Namespace
from codex_proxy.dialects.responses.updates import ConfigurationUpdate, MoreTools
from tests.conftest import Proxy
from tests.support.refusals import RESPONSES, amiss, misplaced, post, refusal
from tests.support.refusals import Body as AnyBody
from tests.web.wrong_values import out_of_range, wrong_types

_ITEMS: dict[str, type] = {
    "message": MessageItem,
    "function_call": FunctionCall,
    "custom_tool_call": CustomToolCall,
    "function_call_output": CallOutput,
    "custom_tool_call_output": CallOutput,
    "reasoning": ReasoningInput,
    "mcp_call": McpCallInput,
    "mcp_approval_response": McpApproval,
    "file_search_call": FileSearch,
    "code_interpreter_call": CodeRun,
    "image_generation_call": ImageMade,
    "shell_call": RanCall,
    "shell_call_output": RanOutput,
    "additional_tools": MoreTools,
    "configuration_update": ConfigurationUpdate,
}
_TOOLS: dict[str, type] = {"function": Function, "custom": Custom, "namespace": Namespace}
_USER = {"role": "user", "content": "hi"}
_CALL = {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"}
_OUTPUT = {"type": "function_call_output", "call_id": "a", "output": "4"}
_LOOK = {"type": "function", "name": "look"}


async def test_every_member_refuses_every_wrong_type(refusing: Proxy) -> None:
    rows = list(wrong_types(Body))
    assert {member for _, member, _ in rows} == set(Body.__struct_fields__)
    assert await misplaced(refusing, rows, _with, route=RESPONSES) == []


async def test_every_number_and_text_refuses_what_is_out_of_its_range(refusing: Proxy) -> None:
    rows = list(out_of_range(Body))
    numbers = {"top_logprobs", "temperature", "top_p", "max_output_tokens", "max_tool_calls"}
    assert {place for place, _, _ in rows} >= numbers | {"model", "text.format.name", "x_codex.cwd"}
    assert await misplaced(refusing, rows, _with, route=RESPONSES) == []


async def test_every_member_of_every_input_item_refuses_every_wrong_type(refusing: Proxy) -> None:
    for kind, struct in _ITEMS.items():
        rows = [(f"input[0].{place}", "input", [{"type": kind, member: value}]) for place, member, value in wrong_types(struct)]
        assert {place.split(".")[1].split("[")[0] for place, _, _ in rows} == set(struct.__struct_fields__)  # type: ignore[attr-defined]  # every struct has it
        assert await misplaced(refusing, rows, _with, route=RESPONSES) == []


async def test_every_member_of_every_tool_refuses_every_wrong_type(refusing: Proxy) -> None:
    for kind, struct in _TOOLS.items():
        rows = [(f"tools[0].{place}", "tools", [{"type": kind, member: value}]) for place, member, value in wrong_types(struct)]
        assert await misplaced(refusing, rows, _with, route=RESPONSES) == []


async def test_a_bad_input_is_refused_at_its_place(refusing: Proxy) -> None:
    part = {"type": "input_text", "text": "hi"}
    rows: dict[str, tuple[AnyBody, str]] = {
        "no input": ({}, "input"),
        "input null": ({"input": None}, "input"),
        "a blank input": (_with(input=" \n"), "input"),
        "no item": (_items(), "input"),
        "a text for an item": (_with(input=["hi"]), "input[0]"),
        "an unknown type": (_items(_USER, {"type": "smell"}), "input[1].type"),
        "a type that is no text": (_items(_USER, {"type": 1}), "input[1].type"),
        "an unknown role": (_items({"role": "tool", "content": "x"}), "input[0].role"),
        "no role": (_items({"content": "x"}), "input[0].role"),
        "no content": (_items({"role": "user"}), "input[0].content"),
        "content of no part": (_items({"role": "user", "content": []}), "input[0].content"),
        "a blank last message": (_items(_USER, {"role": "user", "content": " "}), "input[1].content"),
        "an unknown part": (_items({"role": "user", "content": [part, {"type": "smell"}]}), "input[0].content[1].type"),
        "a part of no type": (_items({"role": "user", "content": [{"text": "hi"}]}), "input[0].content[0].type"),
        "audio": (_items({"role": "user", "content": [{"type": "input_audio"}]}), "input[0].content[0]"),
        "a prompt for an input": ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        "a blank input to a response": (_with(input="", previous_response_id="resp_1"), "input"),
        "an unknown phase": (_items({"role": "assistant", "content": "x", "phase": "x"}), "input[0].phase"),
        "a call without a name": (_items({"type": "function_call", "call_id": "a", "arguments": ""}), "input[0].name"),
        "an output of no call": (_items(_USER, _OUTPUT), "input"),
        "a call of no output": (_items(_USER, _CALL), "input"),
        "a trigger before the end": (_items({"type": "compaction_trigger"}, _USER), "input[0]"),
        "nothing to compact": (_items({"type": "compaction_trigger"}), "input"),
        "an empty assistant alone": (_items({"role": "assistant", "content": []}), "input"),
    }
    assert await amiss(refusing, rows, route=RESPONSES) == {}


async def test_an_output_before_its_call_is_refused(refusing: Proxy) -> None:
    rows = {"before": (_items(_USER, _OUTPUT, _CALL), "input")}
    assert await amiss(refusing, rows, route=RESPONSES) == {}


async def test_images_and_files_come_with_the_request_or_are_refused(refusing: Proxy) -> None:
    binary = base64.b64encode(b"\xff\xfe\x00").decode()
    large = base64.b64encode(b"x" * (1024 * 1024 + 3)).decode()
    parts: dict[str, tuple[dict[str, Any], str]] = {  # Any: any JSON
        "an address": ({"type": "input_image", "image_url": "https://images.example/a.png"}, ".image_url"),
        "a path": ({"type": "input_image", "image_url": "file:///etc/passwd"}, ".image_url"),
        "an image of an id": ({"type": "input_image", "file_id": "file_1"}, ""),
        "an image of nothing": ({"type": "input_image"}, ""),
        "an unknown detail": ({"type": "input_image", "detail": "x"}, ".detail"),
        "a file of an id": ({"type": "input_file", "file_id": "file_1"}, ""),
        "a file of an address": ({"type": "input_file", "file_url": "https://files.example/a.txt"}, ""),
        "a file of nothing": ({"type": "input_file"}, ""),
        "a file that is no base64": ({"type": "input_file", "file_data": "data:text/plain;base64,a!"}, ".file_data"),
        "a file that is no text": ({"type": "input_file", "file_data": binary}, ".file_data"),
        "a file that is large": ({"type": "input_file", "file_data": large}, ".file_data"),
    }
    rows = {
        name: (_items({"role": "user", "content": [part]}), f"input[0].content[0]{place}") for name, (part, place) in parts.items()
    }
    assert await amiss(refusing, rows, route=RESPONSES) == {}


async def test_bad_tools_and_choices_are_refused_at_their_place(refusing: Proxy) -> None:
    def group(*tools: dict[str, Any]) -> dict[str, Any]:  # Any: any JSON
        return {"type": "namespace", "name": "g", "tools": list(tools)}

    rows: dict[str, tuple[AnyBody, str]] = {
        "no type": (_with(tools=[_LOOK, {"name": "f"}]), "tools[1].type"),
        "a type that is no text": (_with(tools=[_LOOK, {"type": 1}]), "tools[1].type"),
        "an unknown type": (_with(tools=[_LOOK, {"type": "file_search"}]), "tools[1].type"),
        "no name": (_with(tools=[_LOOK, {"type": "function"}]), "tools[1].name"),
        "a bad name": (_with(tools=[_LOOK, {"type": "function", "name": "a b"}]), "tools[1]"),
        "an empty name": (_with(tools=[_LOOK, {"type": "function", "name": ""}]), "tools[1]"),
        "a name twice": (_with(tools=[_LOOK, _LOOK]), "tools[1]"),
        "a name of the agent's own": (_with(tools=[{"type": "function", "name": "apply_patch"}]), "tools[0]"),
        "a bad tool in a group": (_with(tools=[group(_LOOK, {"type": "function"})]), "tools[0].tools[1].name"),
        "a group in a group": (_with(tools=[group(group())]), "tools[0].tools[0].type"),
        "a search in a group": (_with(tools=[group({"type": "web_search"})]), "tools[0].tools[0].type"),
        "129 tools": (_with(tools=[_LOOK | {"name": f"f{number}"} for number in range(129)]), "tools"),
        "required, and no tools": (_with(tool_choice="required"), "tool_choice"),
        "the name of none": (_with(tools=[_LOOK], tool_choice={"type": "function", "name": "see"}), "tool_choice"),
        "no name chosen": (_with(tools=[_LOOK], tool_choice={"type": "function"}), "tool_choice.name"),
        "an unknown choice": (_with(tools=[_LOOK], tool_choice={"type": "file_search"}), "tool_choice"),
        "a choice of no type": (_with(tools=[_LOOK], tool_choice={"name": "look"}), "tool_choice"),
        "allowed tools that are none": (
            _with(tools=[_LOOK], tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"name": "see"}]}),
            "tool_choice",
        ),
        "allowed tools of no mode": (
            _with(tools=[_LOOK], tool_choice={"type": "allowed_tools", "tools": [_LOOK]}),
            "tool_choice.mode",
        ),
    }
    assert await amiss(refusing, rows, route=RESPONSES) == {}


async def test_an_unknown_mode_of_allowed_tools_is_refused(refusing: Proxy) -> None:
    choice = {"type": "allowed_tools", "mode": "always", "tools": [_LOOK]}
    rows = {"always": (_with(tools=[_LOOK], tool_choice=choice), "tool_choice.mode")}
    assert await amiss(refusing, rows, route=RESPONSES) == {}


async def test_a_bad_tool_is_named_by_its_own_number_after_a_search_and_a_group(refusing: Proxy) -> None:
    bad = {"type": "function", "name": "a b"}
    group = {"type": "namespace", "name": "g", "tools": [_LOOK, _LOOK | {"name": "see"}]}
    rows = {
        "after a search": (_with(tools=[{"type": "web_search"}, bad]), "tools[1]"),
        "after a group": (_with(tools=[group, bad]), "tools[1]"),
    }
    assert await amiss(refusing, rows, route=RESPONSES) == {}


async def test_what_is_not_served_is_refused_by_name(refusing: Proxy) -> None:
    strict = {"type": "json_schema", "name": "n", "strict": True, "schema": {"type": "object"}}
    rows = {
        "in the background and not stored": (_with(background=True, store=False), "background"),
        "a conversation and a response": (_with(conversation="conv_1", previous_response_id="resp_1"), "conversation"),
        "a prompt": (_with(prompt={"id": "pmpt_1"}), "prompt"),
        "log probabilities": (_with(top_logprobs=2), "top_logprobs"),
        "log probabilities included": (_with(include=["message.output_text.logprobs"]), "include"),
        "a strict schema that is open": (_with(text={"format": strict}), "text.format.schema"),
        "an unknown format": (_with(text={"format": {"type": "xml"}}), "text.format.type"),
        "an effort that the model lacks": (_with(reasoning={"effort": "ultra"}), "reasoning.effort"),
        "an x_codex effort that the model lacks": (_with(x_codex={"reasoning_effort": "ultra"}), "x_codex.reasoning_effort"),
        "an unknown summary": (_with(reasoning={"summary": "long"}), "reasoning.summary"),
        "danger mode, which is off": (_with(x_codex={"sandbox": "danger-full-access"}), "x_codex.sandbox"),
        "an x_codex that is unknown": (_with(x_codex={"Mode": "chat"}), "x_codex.Mode"),
        "17 metadata": (_with(metadata={f"k{number}": "v" for number in range(17)}), "metadata"),
    }
    assert await amiss(refusing, rows, route=RESPONSES) == {}


async def test_what_is_not_the_json_of_an_object_is_refused(refusing: Proxy) -> None:
    rows: dict[str, tuple[AnyBody, str | None]] = {
        "not JSON": (b"hello", None),
        "truncated": (b'{"input":"hi"', None),
        "an array": (b"[]", None),
        "a member twice": (b'{"input":"hi","input":"ho"}', None),
        "a member of an item twice": (b'{"input":[{"role":"user","content":"a","content":"b"}]}', None),
        "a lone surrogate": (b'{"input":"\\ud800"}', None),
        "NaN in a tool": (b'{"input":"hi","tools":[{"type":"function","name":"f","parameters":{"a":NaN}}]}', None),
        "absurd depth in an item": (b'{"input":[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", "input[0].a[0]"),
    }
    assert await amiss(refusing, rows, route=RESPONSES) == {}


async def test_an_unknown_model_is_404(refusing: Proxy) -> None:
    answer = await post(refusing, _with(model="nothing-5"), route=RESPONSES)
    assert (answer.status, (await refusal(answer)).code) == (404, "model_not_found")


def _items(*items: dict[str, Any]) -> dict[str, Any]:  # Any: any JSON
    return {"input": list(items)}


def _with(**members: Any) -> dict[str, Any]:  # Any: any JSON
    """A good body with these members."""
    return {"input": "hi"} | members
