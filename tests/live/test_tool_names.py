"""Tools of a client whose names or schemas Codex refuses: renamed and reworded on the way, and back again."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from codex_proxy.codex.tools import AGENTS_OWN
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, words
from tests.conftest import Proxy
from tests.live.test_tools import function

Json = dict[str, Any]  # Any: any JSON

_KEPT = ("mcp", "mcp__a__b", "client_mcp", "shell_command", "client_shell_command", "exec", "wait", "read_mcp_resource")
_LONG = ("x" * 65, "x" * 128, "x" * 129)
_GROUPS = (
    *("mcp", "functions", "multi_tool_use", "web", "browser", "python", "computer", "container", "file_search", "image_gen"),
    *("terminal", "api_tool", "tool_search", "submodel_delegator", "python_user_visible", "client_web", "g" * 65, "mcp__a"),
)


def _calls_all(request: ModelRequest) -> list[Call]:
    """A call of every tool of the client's that the model sees: they are all described as "The …"."""
    calls: list[Call] = []
    for tool in request.tools:
        for inner in tool.get("tools", [tool]):
            if re.fullmatch(r"The \S+\.", inner.get("description") or ""):
                group = tool["name"] if tool["type"] == "namespace" else None
                calls.append(Call(inner["name"], '{"city":"Rome"}', f"call_{len(calls)}", group))
    return calls


async def _script(request: ModelRequest) -> AsyncIterator[Step]:
    if request.outputs:
        yield Say(words("Done."))
    else:
        for call in _calls_all(request):
            yield call


@pytest.mark.parametrize("model_name", ["gpt-5.5", "gpt-5.5 chat", "gpt-5.6-sol", "gpt-5.6-sol chat"])
async def test_a_tool_of_a_kept_or_long_name_is_called_by_its_own_name_and_its_history_is_understood(
    proxy: Proxy, model: ModelServer, model_name: str
) -> None:
    names = [*_KEPT, *_LONG] if model_name.endswith("chat") else [name for name in (*_KEPT, *_LONG) if name not in AGENTS_OWN]
    model.script = _script
    tools = [function(name) for name in names]
    answer = await proxy.chat(prompt="go", model=model_name, tools=tools)
    assert answer.status == 200, await answer.text()
    message = (await answer.json())["choices"][0]["message"]
    assert [call["function"]["name"] for call in message["tool_calls"]] == names

    seen = [call.name for call in _calls_all(model.requests[-1])]
    assert all(len(name) <= 64 for name in seen)
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in message["tool_calls"]]
    told = [{"role": "user", "content": "go"}, message, *results]
    assert (await proxy.chat(messages=told, model=model_name, tools=tools)).status == 200
    assert [item["name"] for item in model.requests[-1].input if item["type"] == "function_call"] == seen


@pytest.mark.parametrize("model_name", ["gpt-5.5 chat", "gpt-5.6-sol chat"])
async def test_a_group_of_a_kept_or_long_name_is_called_by_its_own_name(proxy: Proxy, model: ModelServer, model_name: str) -> None:
    model.script = _script
    inner: Json = {"type": "function", "name": "look", "description": "The look.", "parameters": {"type": "object"}}
    groups = [{"type": "namespace", "name": name, "description": "A group.", "tools": [inner]} for name in _GROUPS]
    body = {"model": model_name, "input": "go", "tools": groups}
    async with proxy.http.post(f"{proxy.base_url}/responses", json=body) as answer:
        assert answer.status == 200, await answer.text()
        output = (await answer.json())["output"]
    assert [(item["namespace"], item["name"]) for item in output] == [(name, "look") for name in _GROUPS]


async def test_a_tuple_in_a_schema_reaches_the_model_in_words_that_codex_understands(proxy: Proxy, model: ModelServer) -> None:
    tool = function("plot")
    point = {"type": "array", "items": [{"type": "string"}, {"type": "integer"}], "minItems": 2, "maxItems": 2}
    tool["function"]["parameters"]["properties"] |= {"point": point, "level": {"enum": [1, 2]}, "any": True}
    answer = await proxy.chat(prompt="go", tools=[tool])
    assert answer.status == 200, await answer.text()
    (seen,) = [tool for tool in model.requests[-1].tools if tool.get("name") == "plot"]
    properties = seen["parameters"]["properties"]
    assert properties["point"]["items"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert "item 2 fits" in properties["point"]["description"]
    assert properties["level"] == {"type": "integer", "enum": [1, 2]}
    assert "type" not in properties["any"]


async def test_a_schema_that_codex_cannot_read_is_a_400_that_names_the_tool(proxy: Proxy, model: ModelServer) -> None:
    bad = function("plot")
    bad["function"]["parameters"]["properties"]["a"] = {"type": "string", "description": 3}
    answer = await proxy.chat(prompt="go", tools=[function("look"), bad])
    assert answer.status == 400
    error = (await answer.json())["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", "tools[1]")
    assert "plot" in error["message"]
    assert model.calls == 0


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text"}], "encrypted_content": "x"}, "text"),
        ({"type": "message", "role": "user", "content": [{"type": "input_text"}]}, "text"),
    ],
)
async def test_an_item_that_is_not_whole_is_a_400_and_never_the_workers_fault(proxy: Proxy, item: Json, reason: str) -> None:
    body = json.dumps({"input": [item, {"role": "user", "content": "go"}]})
    headers = {"Content-Type": "application/json"}
    async with proxy.http.post(f"{proxy.base_url}/responses", data=body, headers=headers) as answer:
        assert answer.status == 400, await answer.text()
        error = (await answer.json())["error"]
    assert error["type"] == "invalid_request_error"
    assert reason in error["message"]
