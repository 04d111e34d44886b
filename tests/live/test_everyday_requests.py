"""Requests that clients really send and that are not quite what the API describes: the answer to each, and what the provider got.

Each row is a request from a public bug report of some server of this API.
"""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from codex_proxy.codex.tools import to_model
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, Think, words
from tests.conftest import Proxy, ProxyStarter
from tests.support.pictures import PIXEL
from tests.support.refusals import CHAT, RESPONSES, post, refusal

Json = dict[str, Any]  # Any: any JSON

_HI: Json = {"role": "user", "content": "hi"}
_CALL: Json = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
_CHAT_CALL: Json = {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"name": "look", "arguments": "{}"}}]}
_SHORT: Json = {"call_id": f"call_{hashlib.sha256(b'c' * 65).hexdigest()[:32]}"}
_ENCRYPTED: Json = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}


def told(request: ModelRequest, *kinds: str) -> list[Json]:
    """The items of some kinds, and the messages of the two who talk, as the provider got them; without what Codex adds."""
    return [
        item
        for item in request.input
        if item["type"] in kinds or (item.get("role") in ("user", "assistant") and "<" not in item["content"][0]["text"])
    ]


# What each request is, and what the provider gets of it: of messages the text, of other items these members.
_TAKEN: dict[str, tuple[str, Json, list[Json | str]]] = {
    "reasoning of id null": (RESPONSES, {"input": [_ENCRYPTED | {"id": None}, _HI]}, [_ENCRYPTED, "hi"]),
    "reasoning of id ''": (RESPONSES, {"input": [_ENCRYPTED | {"id": ""}, _HI]}, [_ENCRYPTED, "hi"]),
    "reasoning of no id": (RESPONSES, {"input": [_ENCRYPTED, _HI]}, [_ENCRYPTED, "hi"]),
    "reasoning of no summary": (RESPONSES, {"input": [_ENCRYPTED | {"summary": None}, _HI]}, [_ENCRYPTED, "hi"]),
    "empty content in between": (
        RESPONSES,
        {"input": [{"role": "user", "content": []}, {"role": "user", "content": ""}, {"role": "assistant", "content": None}, _HI]},
        ["hi"],
    ),
    "an output of no part": (
        RESPONSES,
        {"input": [_HI, _CALL, {"type": "function_call_output", "call_id": "call_1", "output": []}]},
        ["hi", {"name": "look"}, {"output": ""}],
    ),
    "an output null": (
        RESPONSES,
        {"input": [_HI, _CALL, {"type": "function_call_output", "call_id": "call_1", "output": None}]},
        ["hi", {"name": "look"}, {"output": ""}],
    ),
    "empty messages of a chat": (
        CHAT,
        {
            "messages": [
                {"role": "system", "content": ""},
                {"role": "user", "content": []},
                {"role": "assistant", "content": ""},
                _HI,
            ]
        },
        ["hi"],
    ),
    "a tool's content of no part": (
        CHAT,
        {"messages": [_HI, _CHAT_CALL, {"role": "tool", "tool_call_id": "call_1", "content": []}]},
        ["hi", {"name": "look"}, {"output": ""}],
    ),
    "long ids of calls": (
        RESPONSES,
        {"input": [_HI, _CALL | {"call_id": "c" * 65}, {"type": "function_call_output", "call_id": "c" * 65, "output": "1"}]},
        ["hi", _SHORT | {"name": "look"}, _SHORT | {"output": "1"}],
    ),
    "empty ids of calls": (
        RESPONSES,
        {
            "input": [
                *(_HI, _CALL | {"call_id": ""}, _CALL | {"call_id": None, "name": "see"}),
                {"type": "function_call_output", "call_id": "", "output": "1"},
                {"type": "function_call_output", "output": "2"},
            ]
        },
        [
            *("hi", {"name": "look", "call_id": "call_1"}, {"name": "see", "call_id": "call_2"}),
            *({"call_id": "call_1", "output": "1"}, {"call_id": "call_2", "output": "2"}),
        ],
    ),
    "names that no provider takes": (
        RESPONSES,
        {
            "input": [
                *(_HI, _CALL | {"name": "functions.look at", "namespace": "my server"}),
                {"type": "function_call_output", "call_id": "call_1", "output": "1"},
            ]
        },
        ["hi", {"name": "functions_look_at", "namespace": "my_server"}, {"output": "1"}],
    ),
    "a name that is too long": (
        RESPONSES,
        {"input": [_HI, _CALL | {"name": "x" * 65}, {"type": "function_call_output", "call_id": "call_1", "output": "1"}]},
        ["hi", {"name": to_model("x" * 65)}, {"output": "1"}],
    ),
    "a type null": (RESPONSES, {"input": [_HI | {"type": None}]}, ["hi"]),
    "a tool's content null": (
        CHAT,
        {"messages": [_HI, _CHAT_CALL, {"role": "tool", "tool_call_id": "call_1", "content": None}]},
        ["hi", {"name": "look"}, {"output": ""}],
    ),
}


async def test_it_is_taken_as_it_comes(proxy: Proxy, model: ModelServer) -> None:
    for name, (route, body, wanted_items) in _TAKEN.items():
        answer = await post(proxy, body | {"model": "gpt-5.5 chat"}, route=route)
        assert answer.status == 200, (name, await answer.text())
        got = told(model.requests[-1], "reasoning", "function_call", "function_call_output")
        assert len(got) == len(wanted_items), (name, got)
        for item, wanted in zip(got, wanted_items, strict=True):
            if isinstance(wanted, str):
                assert item["content"][0]["text"] == wanted, name
            else:
                assert wanted.items() <= item.items(), name
                assert item.get("id") != "", name


_FOREIGN: dict[str, dict[str, tuple[Any, str]]] = {  # Any: any JSON
    RESPONSES: {
        "messages": ([_HI], "'input'"),
        "response_format": ({"type": "json_object"}, "'text.format'"),
        "verbosity": ("low", "'text.verbosity'"),
        "max_tokens": (5, "'max_output_tokens'"),
        "max_completion_tokens": (5, "'max_output_tokens'"),
        "reasoning_effort": ("low", "'reasoning.effort'"),
        "functions": ([], "'tools'"),
        "function_call": ("auto", "'tool_choice'"),
        "web_search_options": ({}, "'tools'"),
    },
    CHAT: {
        "input": ("hi", "'messages'"),
        "instructions": ("Be brief.", "'developer'"),
        "max_output_tokens": (5, "'max_completion_tokens'"),
        "reasoning": ({"effort": "low"}, "'reasoning_effort'"),
        "text": ({"verbosity": "low"}, "'response_format'"),
        "previous_response_id": ("resp_1", "/v1/responses"),
        "conversation": ("conv_1", "/v1/responses"),
    },
}
_ASKED: dict[str, Json] = {RESPONSES: {"input": "hi"}, CHAT: {"messages": [_HI]}}


@pytest.mark.parametrize("route", [RESPONSES, CHAT])
async def test_a_parameter_of_the_other_dialect_is_refused_with_the_name_of_the_right_one(
    proxy: Proxy, model: ModelServer, route: str
) -> None:
    for name, (value, right) in _FOREIGN[route].items():
        answer = await post(proxy, _ASKED[route] | {name: value}, route=route)
        assert answer.status == 400, name
        error = await refusal(answer)
        assert (error.param, error.code) == (name, "unsupported_parameter")
        assert right in error.message
    assert model.calls == 0


@pytest.mark.parametrize("route", [RESPONSES, CHAT])
async def test_null_asks_for_nothing(proxy: Proxy, route: str) -> None:
    idle: Json = dict.fromkeys([*_FOREIGN[route], "temperature", "top_p", "something_new"]) | {"seed": 7}
    answer = await post(proxy, idle | _ASKED[route], route=route)
    assert answer.status == 200, await answer.text()
    assert answer.headers["x-codex-ignored"] == "seed"


@pytest.mark.parametrize("route", [RESPONSES, CHAT])
async def test_a_fast_tier_is_the_providers_priority_and_the_answer_says_so(proxy: Proxy, model: ModelServer, route: str) -> None:
    for tier in ("fast", "ultrafast"):
        answer = await post(proxy, _ASKED[route] | {"service_tier": tier}, route=route)
        assert answer.status == 200, await answer.text()
        assert model.requests[-1].body["service_tier"] == "priority"
        if route == RESPONSES:
            assert (await answer.json())["service_tier"] == "priority"


async def test_the_original_detail_of_an_image_is_taken_in_a_chat(proxy: Proxy, model: ModelServer) -> None:
    image = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "original"}}
    for name, detail in (("gpt-5.5", "original"), ("gpt-5.6-sol", None)):  # Codex tells no model in code mode of it
        answer = await proxy.chat(model=name, messages=[{"role": "user", "content": [{"type": "text", "text": "look"}, image]}])
        assert answer.status == 200, await answer.text()
        images = [part for part in model.requests[-1].input[-1]["content"] if part["type"] == "input_image"]
        assert [part.get("detail") for part in images] == [detail]


_WARMING: dict[str, Json] = {
    "prewarm": {"prompt_cache_options": {"prewarm": True}},
    "generate": {"generate": False},
    "both, in the background": {"prompt_cache_options": {"prewarm": True}, "generate": False, "background": True},
    "not stored": {"generate": False, "store": False},
    "with a key": {"generate": False, "key": "a"},
}


@pytest.mark.parametrize("name", _WARMING)
async def test_warming_up_is_answered_at_once_and_runs_nothing(proxy: Proxy, model: ModelServer, name: str) -> None:
    members = dict(_WARMING[name])
    headers = {"Idempotency-Key": "a"} if members.pop("key", None) else {}
    warm = await post(proxy, {"input": [_HI], "model": "gpt-5.5 chat", "metadata": {"a": "b"}} | members, headers, route=RESPONSES)
    assert warm.status == 200, await warm.text()
    assert "x-codex-ignored" not in warm.headers
    answer = await warm.json()
    assert (answer["status"], answer["output"], answer["usage"]["total_tokens"]) == ("completed", [], 0)
    assert model.calls == 0
    if members.get("store") is not False:
        again = {"input": "and?", "previous_response_id": answer["id"], "model": "gpt-5.5 chat"}
        assert (await (await post(proxy, again, route=RESPONSES)).json())["status"] == "completed"
        assert [item["content"][0]["text"] for item in told(model.requests[0])] == ["hi", "and?"]


async def test_warming_up_with_nothing_to_read_and_as_a_stream(proxy: Proxy, model: ModelServer) -> None:
    answer = await post(proxy, {"input": [], "instructions": "Be kind.", "generate": False, "stream": True}, route=RESPONSES)
    names = [line.removeprefix("event: ") for line in (await answer.text()).splitlines() if line.startswith("event: ")]
    assert names == ["response.created", "response.in_progress", "response.completed"]
    assert model.calls == 0


async def _thinking(_: ModelRequest) -> AsyncIterator[Step]:
    yield Think(("**Thinking**",), encrypted="gAAA")
    yield Say(words("Done."))


@pytest.mark.parametrize(("members", "given"), [({"store": False}, True), ({}, False)])
async def test_reasoning_that_is_not_stored_comes_encrypted_without_being_asked_for(
    proxy: Proxy, model: ModelServer, members: Json, given: bool
) -> None:
    model.script = _thinking
    answer = await post(proxy, {"input": "hi"} | members, route=RESPONSES)
    thought = (await answer.json())["output"][0]
    assert thought["type"] == "reasoning"
    assert thought.get("encrypted_content") == ("gAAA" if given else None)


async def test_a_search_that_must_be_is_asked_for_in_words(proxy: Proxy, model: ModelServer) -> None:
    tools = [{"type": "web_search"}, {"type": "function", "name": "look"}]
    rows: list[tuple[Json, bool, list[str]]] = [
        ({"tools": tools, "tool_choice": {"type": "web_search"}}, True, ["web_search"]),
        ({"tools": tools[:1], "tool_choice": "required"}, True, ["web_search"]),
        ({"tools": tools, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": tools[:1]}}, False, ["web_search"]),
        ({"tools": tools, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": tools[1:]}}, False, ["look"]),
    ]
    for members, must, names in rows:
        answer = await post(proxy, {"input": "hi", "model": "gpt-5.5 chat"} | members, route=RESPONSES)
        assert answer.status == 200, await answer.text()
        request = model.requests[-1]
        assert [name for name in request.tool_names if name in ("look", "web_search")] == names
        asked = any(part.get("text") == "Search the web before you answer." for item in request.input for part in item["content"])
        assert asked is must


async def test_a_key_that_is_not_known_is_told_in_the_words_that_clients_look_for(
    environ: dict[str, str], start_proxy: ProxyStarter
) -> None:
    environ["PROXY_API_KEY"] = "right"
    async with start_proxy() as proxy:
        for key in ("Bearer wrong", "Basic wrong", ""):
            answer = await post(proxy, {"input": "hi"}, {"Authorization": key}, route=RESPONSES)
            assert answer.status == 401
            error = await refusal(answer)
            assert error.message.startswith("Incorrect API key provided")
            assert error.code == "invalid_api_key"
