"""Kept responses on the real CLI: continuing, forking, reading back, background work, resumed streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from codex_proxy.demo import shell
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words
from tests.conftest import Proxy, ProxyStarter
from tests.live.test_conversations import CALLS, SCRIPTS, shown_to


async def ask(proxy: Proxy, **members: Any) -> dict[str, Any]:
    """POST /v1/responses; asserts 200."""
    answer = await proxy.http.post(f"{proxy.base_url}/responses", json=members)
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def read(proxy: Proxy, response_id: str) -> dict[str, Any]:
    answer = await proxy.http.get(f"{proxy.base_url}/responses/{response_id}")
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def ended(proxy: Proxy, response_id: str) -> dict[str, Any]:
    """The response, once it has ended."""
    async with asyncio.timeout(20):
        while (found := await read(proxy, response_id))["status"] in ("queued", "in_progress"):
            await asyncio.sleep(0)
    return found


async def events_of(answer: aiohttp.ClientResponse, at_most: int | None = None) -> list[dict[str, Any]]:
    """The events of a stream, up to its end or so many; asserts that event and data agree."""
    assert answer.status == 200, await answer.text()
    found: list[dict[str, Any]] = []
    name = b""
    async for line in answer.content:
        if line.startswith(b"event: "):
            name = line[7:].strip()
        elif line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
            assert found[-1]["type"] == name.decode()
            if len(found) == at_most:
                break
    return found


def said(item: dict[str, Any]) -> str:
    content = item.get("content") or []
    return "".join(part.get("text", "") for part in content) if isinstance(content, list) else content


async def remember(request: ModelRequest) -> AsyncIterator[Step]:
    if "run" in request.prompt and not request.outputs:
        yield Think(("**Hm**",), "SECRET-THOUGHT")
        yield shell.run("echo from the shell", request)
    else:
        yield Say((f"Answer to {request.prompt}.",))


@pytest.mark.parametrize("name", [SCRIPTS, CALLS])
async def test_a_continuation_gives_the_model_exactly_what_it_had(proxy: Proxy, model: ModelServer, name: str) -> None:
    model.script = remember
    first = await ask(proxy, model=name, input="run it", instructions="Only this once.")
    assert first["store"] is True
    second = await ask(proxy, model=name, input="and now?", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    items = model.requests[-1].input
    kinds = [item["type"] for item in items]
    begin = kinds.index("reasoning") - 1
    assert said(items[begin]) == "run it"
    called = "custom_tool_call" if name == SCRIPTS else "function_call"
    assert kinds[begin + 1 :] == ["reasoning", called, f"{called}_output", "message", "message"]
    assert items[begin + 1]["encrypted_content"] == "SECRET-THOUGHT"
    assert items[begin + 2]["name"] == ("exec" if name == SCRIPTS else "exec_command")
    assert "from the shell" in shown_to(model.requests[-1])
    assert [said(item) for item in items[-2:]] == ["Answer to run it.", "and now?"]
    assert "Only this once." not in json.dumps(items)
    await ask(proxy, model=name, previous_response_id=second["id"])  # without an input, the model goes on
    assert said(model.requests[-1].input[-1]) == "Answer to and now?."
    made = await proxy.http.post(f"{proxy.base_url}/conversations", json={"items": [{"role": "user", "content": "Hello"}]})
    await ask(proxy, model=name, conversation=(await made.json())["id"], input=[])
    assert said(model.requests[-1].input[-1]) == "Hello"


async def test_forks_are_independent_and_survive_the_deletion_of_what_they_continue(proxy: Proxy, model: ModelServer) -> None:
    model.script = remember
    root = await ask(proxy, input="root")
    left = await ask(proxy, input="left-hand", previous_response_id=root["id"])
    right = await ask(proxy, input="right-hand", previous_response_id=root["id"])
    await ask(proxy, input="more", previous_response_id=left["id"])
    assert "right-hand" not in json.dumps(model.requests[-1].input)
    gone = await proxy.http.delete(f"{proxy.base_url}/responses/{root['id']}")
    assert await gone.json() == {"id": root["id"], "object": "response", "deleted": True}
    assert (await proxy.http.get(f"{proxy.base_url}/responses/{root['id']}")).status == 404
    await ask(proxy, input="more", previous_response_id=right["id"])
    lost = await proxy.http.post(f"{proxy.base_url}/responses", json={"input": "x", "previous_response_id": root["id"]})
    assert (lost.status, (await lost.json())["error"]["param"]) == (404, "previous_response_id")


async def test_a_tool_loop_goes_on_by_previous_response_id(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say((f"It is {request.outputs[-1]}.",))
        else:
            yield Call("get_weather", "{}", "call_w")

    model.script = script
    tools = [{"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}]
    first = await ask(proxy, input="Rome?", tools=tools)
    unanswered = await proxy.http.post(f"{proxy.base_url}/responses", json={"input": "x", "previous_response_id": first["id"]})
    assert unanswered.status == 400
    output = [{"type": "function_call_output", "call_id": "call_w", "output": "sunny"}]
    second = await ask(proxy, input=output, previous_response_id=first["id"], tools=tools)
    assert second["output"][0]["content"][0]["text"] == "It is sunny."


async def test_what_is_kept_survives_a_restart_and_what_is_not_stored_is_not_there(
    start_proxy: ProxyStarter, model: ModelServer
) -> None:
    model.script = remember
    async with start_proxy() as proxy:
        kept = await ask(proxy, input="one")
        unkept = await ask(proxy, input="two", store=False)
        assert unkept["store"] is False
    async with start_proxy() as proxy:
        assert await read(proxy, kept["id"]) == kept
        assert (await proxy.http.get(f"{proxy.base_url}/responses/{unkept['id']}")).status == 404
        await ask(proxy, input="three", previous_response_id=kept["id"])
        assert "Answer to one." in json.dumps(model.requests[-1].input)


async def test_input_items_are_listed_in_pages(proxy: Proxy) -> None:
    items = [{"role": "user", "content": f"message {number}"} for number in range(5)]
    made = await ask(proxy, input=items)
    url = f"{proxy.base_url}/responses/{made['id']}/input_items"
    first = await (await proxy.http.get(url, params={"order": "asc", "limit": "2"})).json()
    assert [said(item) for item in first["data"]] == ["message 0", "message 1"]
    assert first["has_more"] is True
    rest = await (await proxy.http.get(url, params={"order": "asc", "after": first["last_id"]})).json()
    assert [said(item) for item in rest["data"]] == ["message 2", "message 3", "message 4"]
    assert rest["has_more"] is False
    newest = await (await proxy.http.get(url, params={"limit": "1"})).json()
    assert said(newest["data"][0]) == "message 4"
    assert (await proxy.http.get(url, params={"limit": "0"})).status == 400
    unknown = await proxy.http.get(url, params={"after": "msg_of_another"})
    assert (unknown.status, (await unknown.json())["error"]["param"]) == (400, "after")


async def test_a_background_response_is_queued_polled_and_done_without_a_listener(proxy: Proxy, model: ModelServer) -> None:
    let_go = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        await let_go.wait()
        yield Say(words("done at last"))

    model.script = script
    made = await ask(proxy, input="go", background=True)
    assert made["status"] == "queued"
    assert made["output"] == []
    let_go.set()
    done = await ended(proxy, made["id"])
    assert done["status"] == "completed"
    assert done["background"] is True
    assert done["output"][0]["content"][0]["text"] == "done at last"


async def test_a_stream_of_200_tokens_cut_at_50_and_resumed_has_each_event_exactly_once(proxy: Proxy, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(tuple(f"t{number} " for number in range(200)), pace=0.005)

    model.script = script
    body = {"input": "go", "background": True, "stream": True}
    first = await proxy.http.post(f"{proxy.base_url}/responses", json=body)
    seen = await events_of(first, at_most=50)
    first.close()
    url = f"{proxy.base_url}/responses/{seen[0]['response']['id']}"
    last = seen[-1]["sequence_number"]
    seen += await events_of(await proxy.http.get(url, params={"stream": "true", "starting_after": str(last)}))
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert seen[-1]["type"] == "response.completed"
    text = "".join(event["delta"] for event in seen if event["type"] == "response.output_text.delta")
    assert text == "".join(f"t{number} " for number in range(200))
    again = await events_of(await proxy.http.get(url, params={"stream": "true"}))
    assert again == seen


async def test_a_background_response_is_cancelled_and_one_that_is_done_is_not(proxy: Proxy, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(tuple(f"t{number} " for number in range(2000)), pace=0.005)

    model.script = script
    made = await ask(proxy, input="go", background=True)
    url = f"{proxy.base_url}/responses/{made['id']}"
    follow = await proxy.http.get(url, params={"stream": "true"})
    async with asyncio.timeout(10):
        while not any(event["type"] == "response.output_text.delta" for event in await events_of(follow, at_most=1)):
            pass
    answer = await proxy.http.post(f"{proxy.base_url}/responses/{made['id']}/cancel")
    assert (await answer.json())["status"] == "cancelled"
    kept = await read(proxy, made["id"])
    assert kept["status"] == "cancelled"
    (message,) = kept["output"]
    assert (message["status"], message["content"][0]["text"][:3]) == ("incomplete", "t0 ")
    done = [event["item"] for event in await events_of(follow) if event["type"] == "response.output_item.done"]
    assert done == [message]
    again = await proxy.http.post(f"{proxy.base_url}/responses/{made['id']}/cancel")
    assert (again.status, (await again.json())["status"]) == (200, "cancelled")
    assert proxy.server.jobs.waiting == 0


async def test_a_client_that_leaves_its_stored_stream_finds_it_cancelled(proxy: Proxy, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(tuple(f"t{number} " for number in range(2000)), pace=0.005)

    model.script = script
    stream = await proxy.http.post(f"{proxy.base_url}/responses", json={"input": "go", "stream": True})
    (created,) = await events_of(stream, at_most=1)
    assert created["response"]["status"] == "in_progress"
    stream.close()
    assert (await ended(proxy, created["response"]["id"]))["status"] == "cancelled"


async def test_to_another_key_a_response_does_not_exist(start_proxy: ProxyStarter, environ: dict[str, str]) -> None:
    async with start_proxy() as proxy:
        made = await ask(proxy, input="hi")
    environ["PROXY_API_KEY"] = "a-key"
    async with start_proxy() as proxy:
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
            answer = await proxy.http.request(method, f"{proxy.base_url}/responses/{made['id']}{path}")
            assert answer.status == 404
