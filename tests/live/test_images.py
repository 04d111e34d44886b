"""Images on the real CLI: one that it cannot decode is told, and one by its address is fetched and shown to the model."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step
from tests.conftest import TURN_LIMIT, Proxy, ProxyStarter
from tests.support.picture_host import NAME, PictureHost
from tests.support.pictures import DAMAGED, PIXEL
from tests.support.streams import chunks_of

_Json = dict[str, Any]  # Any: any JSON
_LEFT_OUT = "image content omitted because it could not be processed"
_ADDRESS = f"https://{NAME}/a.png"


async def _think_for_ever(_: ModelRequest) -> AsyncIterator[Step]:
    await asyncio.Event().wait()
    yield Say(("never",))


def _chat_part(url: str) -> _Json:
    return {"type": "image_url", "image_url": {"url": url}}


def _responses_part(url: str) -> _Json:
    return {"type": "input_image", "image_url": url}


def _told(role: str, *content: _Json) -> _Json:
    return {"role": role, "content": list(content)}


_CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
_HI = {"role": "user", "content": "hi"}
_DAMAGED_SOMEWHERE: dict[str, list[_Json]] = {
    "now": [_told("user", {"type": "text", "text": "What is it?"}, _chat_part(PIXEL), _chat_part(DAMAGED))],
    "before": [_told("user", _chat_part(DAMAGED)), {"role": "assistant", "content": "A pixel."}, _HI],
    "in a result": [
        _HI,
        {"role": "assistant", "tool_calls": [_CALL]},
        {"tool_call_id": "call_1"} | _told("tool", _chat_part(DAMAGED)),
    ],
}


async def _respond(proxy: Proxy, **members: object) -> aiohttp.ClientResponse:
    body = msgspec.json.encode({"model": "gpt-5.5"} | members)
    return await proxy.http.post(f"{proxy.base_url}/responses", data=body, headers={"Content-Type": "application/json"})


async def _refused(response: aiohttp.ClientResponse) -> _Json:
    assert response.status == 400, await response.text()
    error: _Json = (await response.json())["error"]
    assert error["type"] == "invalid_request_error"
    return error


@pytest.mark.parametrize("mode", ["agent", "chat"])
async def test_an_image_that_codex_cannot_decode_is_a_400_before_the_model_has_said_anything_and_nothing_goes_on(
    proxy: Proxy, model: ModelServer, mode: str, home: Home
) -> None:
    answer, go_on = model.script, asyncio.Event()

    async def work(request: ModelRequest) -> AsyncIterator[Step]:
        name = "wanted" if request.prompt == "work" else "unwanted"
        await (asyncio.sleep(0) if name == "wanted" else go_on.wait())
        if not request.outputs:
            yield Call("exec_command", json.dumps({"cmd": f"touch {name}"}), f"call_{len(request.input)}")
        yield Say(("done",))

    model.script = work
    writes = {"mode": mode} if mode == "chat" else {"mode": mode, "sandbox": "workspace-write"}
    for where, messages in _DAMAGED_SOMEWHERE.items():
        for stream in (False, True):
            async with asyncio.timeout(TURN_LIMIT):
                error = await _refused(await proxy.chat(messages=messages, stream=stream, x_codex=writes))
            assert "could not be decoded" in error["message"], where
    go_on.set()
    assert (await proxy.chat(prompt="work", x_codex={"mode": "agent", "sandbox": "workspace-write"})).status == 200
    assert [path.name for path in home.workdir.iterdir()] == ["wanted"]
    model.script = answer
    assert (await proxy.chat(prompt="hi", x_codex={"mode": mode})).status == 200


async def test_a_response_with_an_image_that_cannot_be_decoded_is_a_400(proxy: Proxy, model: ModelServer) -> None:
    model.script = _think_for_ever
    error = await _refused(await _respond(proxy, input=[_told("user", _responses_part(DAMAGED))]))
    assert "could not be decoded" in error["message"]


async def test_a_text_that_reads_like_a_missing_image_is_a_text(proxy: Proxy, model: ModelServer) -> None:
    said = {"type": "text", "text": _LEFT_OUT}
    messages = [_told("user", said), {"role": "assistant", "content": _LEFT_OUT}, _told("user", said, _chat_part(PIXEL))]
    assert (await proxy.chat(messages=messages)).status == 200
    messages[-1]["content"].append(_chat_part(DAMAGED))
    assert "decoded" in (await _refused(await proxy.chat(messages=messages)))["message"]


def _seen(request: ModelRequest) -> list[str]:
    """The images that the model was shown."""
    parts = [part for item in request.input for part in item.get("content") or item.get("output") or ()]
    return [part["image_url"] for part in parts if isinstance(part, dict) and part["type"] == "input_image"]


@pytest.fixture
async def host() -> AsyncIterator[PictureHost]:
    async def picture(_: web.Request) -> web.StreamResponse:
        return web.Response(body=base64.b64decode(PIXEL.partition(",")[2]), content_type="image/png")

    async with PictureHost.started(picture) as started:
        yield started


@pytest.fixture
async def fetching(start_proxy: ProxyStarter, environ: dict[str, str], host: PictureHost) -> AsyncIterator[Proxy]:
    """A server that fetches images, and finds every name at `host`."""
    environ |= {"PROXY_IMAGE_FETCH": "1", "PROXY_API_KEY": "a-key"}
    async with start_proxy() as proxy:
        proxy.server.image_fetch = host.fetch()
        yield proxy


async def test_an_image_of_a_public_host_reaches_the_model(fetching: Proxy, model: ModelServer, host: PictureHost) -> None:
    messages = [_told("user", _chat_part(_ADDRESS)), {"role": "assistant", "content": "Hm."}, _told("user", _chat_part(_ADDRESS))]
    chunks, done = await chunks_of(await fetching.chat(messages=messages, stream=True))
    assert chunks
    assert done
    assert _seen(model.requests[-1]) == [PIXEL, PIXEL]
    assert len(host.requests) == 1


async def test_a_continued_response_has_the_image_as_it_was_when_it_was_fetched(
    fetching: Proxy, model: ModelServer, host: PictureHost
) -> None:
    shown = _told("user", _responses_part(_ADDRESS))
    first = await (await _respond(fetching, input=[_told("user", _responses_part(PIXEL)), _told("assistant"), shown])).json()
    assert _seen(model.requests[-1]) == [PIXEL, PIXEL]
    second = await _respond(fetching, input="And now?", previous_response_id=first["id"])
    assert second.status == 200, await second.text()
    assert _seen(model.requests[-1]) == [PIXEL, PIXEL]
    assert len(host.requests) == 1
    items = await fetching.http.get(f"{fetching.base_url}/responses/{first['id']}/input_items")
    assert _ADDRESS in await items.text()


async def test_an_image_that_cannot_be_fetched_is_refused_at_its_place(
    fetching: Proxy, model: ModelServer, host: PictureHost
) -> None:
    host.address = ("127.0.0.2", host.address[1])
    chat = await fetching.chat(messages=[_HI, {"role": "assistant", "content": "Hm."}, _told("user", _chat_part(_ADDRESS))])
    assert (await _refused(chat))["param"] == "messages[2].content[0].image_url.url"
    response = await _respond(fetching, input=[_told("user", {"type": "input_text", "text": "hi"}, _responses_part(_ADDRESS))])
    error = await _refused(response)
    assert error["param"] == "input[0].content[1].image_url"
    assert error["message"] == "The image could not be fetched."
    assert model.calls == 0


async def test_nothing_is_fetched_for_a_stranger_or_for_a_turn_that_is_refused(fetching: Proxy, host: PictureHost) -> None:
    messages = [_told("user", _chat_part(_ADDRESS))]
    body = msgspec.json.encode({"messages": messages})
    wrong_key = {"Content-Type": "application/json", "Authorization": "Bearer wrong"}
    async with fetching.http.post(f"{fetching.base_url}/chat/completions", data=body, headers=wrong_key) as stranger:
        assert stranger.status == 401
    assert (await fetching.chat(messages=messages, model="nothing-5")).status == 404
    assert (await fetching.chat(messages=messages, x_codex={"cwd": "/"})).status == 403
    assert (await fetching.chat(messages=messages, x_codex={"sandbox": "danger-full-access"})).status == 400
    assert (await fetching.chat(messages=messages, n=2)).status == 400
    assert host.looked_up == []


async def test_no_image_is_fetched_unless_the_operator_allows_it(proxy: Proxy, model: ModelServer) -> None:
    error = await _refused(await proxy.chat(messages=[_told("user", _chat_part(_ADDRESS))]))
    assert error["param"] == "messages[0].content[0].image_url.url"
    assert "PROXY_IMAGE_FETCH=1" in error["message"]
    assert model.calls == 0


@pytest.mark.parametrize("declared", ["image/jpg", "image/jpeg", "application/octet-stream", "image/png;name=a.png"])
async def test_the_model_gets_an_image_as_what_its_bytes_say(proxy: Proxy, model: ModelServer, declared: str) -> None:
    url = PIXEL.replace("image/png", declared, 1)
    answer = await proxy.chat(model="gpt-5.5 chat", messages=[_told("user", _chat_part(url))])
    assert answer.status == 200, await answer.text()
    answer = await _respond(proxy, model="gpt-5.5 chat", input=[_told("user", _responses_part(url))])
    assert answer.status == 200, await answer.text()
    assert [request.images for request in model.requests] == [[PIXEL], [PIXEL]]
