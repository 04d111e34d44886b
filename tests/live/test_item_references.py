"""Items that a request names by their ids alone, as the Vercel AI SDK does from the second turn on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words
from tests.conftest import Proxy, ProxyStarter
from tests.live.test_everyday_requests import told
from tests.support.key_file import write_keys
from tests.support.refusals import RESPONSES, post, refusal

Json = dict[str, Any]  # Any: any JSON

_LOOK: Json = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


async def _script(request: ModelRequest) -> AsyncIterator[Step]:
    yield Think(("**Thinking**",), encrypted=f"gAAA{len(request.input)}")
    if request.prompt == "look" and not request.outputs:
        yield Call("look", "{}", "call_l")
    else:
        yield Say(words(f"An answer to: {request.prompt}"))


@pytest.fixture
def talking(model: ModelServer) -> ModelServer:
    model.script = _script
    return model


def _user(text: str) -> Json:
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


async def _said(proxy: Proxy, *items: Json, **members: object) -> Json:
    body: Json = {"model": "gpt-5.5 chat", "input": list(items), "tools": [_LOOK]} | members
    answer = await post(proxy, body, route=RESPONSES)
    assert answer.status == 200, await answer.text()
    found: Json = await answer.json()
    return found


@pytest.mark.parametrize("form", [{"type": "item_reference"}, {"type": None}, {}])
async def test_three_turns_by_references_are_one_conversation(proxy: Proxy, talking: ModelServer, form: Json) -> None:
    items: list[Json] = []
    for text in ("one", "look", "three"):
        items.append(_user(text))
        answer = await _said(proxy, *items)
        items += [form | {"id": item["id"]} for item in answer["output"]]
        if answer["output"][-1]["type"] == "function_call":
            items.append({"type": "function_call_output", "call_id": "call_l", "output": "seen"})
            answer = await _said(proxy, *items)
            items += [form | {"id": item["id"]} for item in answer["output"]]
    assert len({request.body["prompt_cache_key"] for request in talking.requests}) == 1
    last = talking.requests[-1]
    assert [item.get("type") for item in told(last, "function_call", "function_call_output")][1:] == [
        *("message", "message", "function_call", "function_call_output", "message", "message")
    ]
    assert last.prompt == "three"


async def test_a_reference_stands_for_the_whole_item_where_no_thread_is_left(
    environ: dict[str, str], start_proxy: ProxyStarter, talking: ModelServer
) -> None:
    environ["CODEX_CONVERSATION_MINUTES"] = "0"
    async with start_proxy() as proxy:
        first = await _said(proxy, _user("one"))
        references = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
        await _said(proxy, _user("one"), *references, _user("two"))
    user, reasoning, answer, _ = told(talking.requests[-1], "reasoning")
    assert (user["content"][0]["text"], answer["content"][0]["text"]) == ("one", "An answer to: one")
    assert reasoning["encrypted_content"].startswith("gAAA")  # which the client has never seen
    assert reasoning["id"] == "rs_resp_1_0"  # the provider's own, which verifies it by that


async def test_an_input_item_can_be_named_too_and_what_is_kept_is_the_item(proxy: Proxy, talking: ModelServer) -> None:
    first = await _said(proxy, _user("one"))
    listed = await (await proxy.http.get(f"{proxy.base_url}/responses/{first['id']}/input_items")).json()
    second = await _said(proxy, {"id": listed["data"][0]["id"]})
    assert talking.requests[-1].prompt == "one"
    kept = await (await proxy.http.get(f"{proxy.base_url}/responses/{second['id']}/input_items")).json()
    assert [item["type"] for item in kept["data"]] == ["message"]


async def _conversation(proxy: Proxy, *items: Json, headers: Json | None = None) -> tuple[str, list[Json]]:
    """A new conversation's address, and its items."""
    made = await (await post(proxy, {"items": list(items)}, headers, route="conversations")).json()
    address = f"{proxy.base_url}/conversations/{made['id']}"
    listed = await (await proxy.http.get(f"{address}/items?order=asc", headers=headers)).json()
    return address, listed["data"]


async def test_an_item_of_a_conversation_can_be_named(proxy: Proxy, talking: ModelServer) -> None:
    call = {"type": "function_call", "call_id": "call_k", "name": "look", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_k", "output": "seen"}
    address, items = await _conversation(proxy, _user("first"), call, output)
    await _said(proxy, *({"type": "item_reference", "id": item["id"]} for item in items), _user("two"))
    first, called, answered, last = told(talking.requests[-1], "reasoning", "function_call", "function_call_output")
    assert (first["content"][0]["text"], called["name"], answered["output"]) == ("first", "look", "seen")
    assert last["content"][0]["text"] == "two"
    removed = f"{address}/items/{items[0]['id']}"
    for url, gone in ((removed, items[0]), (address, items[1])):
        assert (await proxy.http.delete(url)).status == 200
        answer = await post(proxy, {"input": [{"id": gone["id"]}, _user("two")]}, route=RESPONSES)
        assert answer.status == 404
        assert (await refusal(answer)).message.startswith(f"Item with id '{gone['id']}' not found.")


async def test_what_is_not_kept_is_not_found_in_openais_words(proxy: Proxy, talking: ModelServer) -> None:
    unstored = await _said(proxy, _user("one"), store=False)
    deleted = await _said(proxy, _user("one"))
    assert (await proxy.http.delete(f"{proxy.base_url}/responses/{deleted['id']}")).status == 200
    calls = talking.calls
    kept = await _said(proxy, _user("one"))
    other_place = kept["output"][0]["id"] + "7"
    for name in ("msg_1", unstored["output"][0]["id"], deleted["output"][0]["id"], other_place):
        answer = await post(proxy, {"input": [{"type": "item_reference", "id": name}, _user("two")]}, route=RESPONSES)
        assert answer.status == 404
        error = await refusal(answer)
        assert error.message.startswith(f"Item with id '{name}' not found.")
        assert (error.type, error.param) == ("invalid_request_error", "input")
    assert talking.calls == calls + 1


async def test_an_item_belongs_to_the_key_that_made_it(
    environ: dict[str, str], start_proxy: ProxyStarter, key_file: Path, talking: ModelServer
) -> None:
    keys = write_keys(key_file, {"anna": {}, "bert": {}})
    async with start_proxy() as proxy:
        anna, bert = keys["anna"], keys["bert"]
        first = await (await post(proxy, {"input": "one"}, anna, route=RESPONSES)).json()
        _, [item] = await _conversation(proxy, _user("one"), headers=anna)
        for name in (first["output"][0]["id"], item["id"]):
            reference = {"input": [{"type": "item_reference", "id": name}, _user("two")]}
            assert (await post(proxy, reference, bert, route=RESPONSES)).status == 404
            assert (await post(proxy, reference, anna, route=RESPONSES)).status == 200
