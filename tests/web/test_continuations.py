"""What a request continues is bounded before it is decoded, and one caller's is read at a time."""

import json

import aiohttp
import pytest

from codex_proxy.dialects import bounds, outline
from codex_proxy.dialects.responses import item_ids
from codex_proxy.errors import InvalidRequest, ServerFull
from codex_proxy.slots import Slots
from tests.conftest import Proxy
from tests.support.failing_store import FailingStore

_PARTS = [b'[{"a":1,"b":[1,2]}]', '{"é, [{":"\\"{[,","c\\\\":"{"}'.encode(), b'"' + b"," * 100_000 + b'"', b"[1]"]


def _values(part: bytes) -> int:
    """How many values a body with this content has: the least bound that it passes."""
    with pytest.MonkeyPatch.context() as patch:
        for most in range(20):
            patch.setattr(bounds, "VALUES", most)
            try:
                outline.check(part)
            except InvalidRequest:
                continue
            return most
    raise AssertionError


def test_stored_values_count_as_those_of_a_body() -> None:
    each = [outline.values([part], 1000) for part in _PARTS]
    assert each == [_values(part) for part in _PARTS]
    assert outline.values(_PARTS, 1000) == sum(each)
    assert outline.values([b"[1]", *[b"\xff"] * 2], 0) == 1  # it stops there: the rest is not UTF-8


async def _made(proxy: Proxy, **members: object) -> str:
    answer = await proxy.http.post(f"{proxy.base_url}/responses", json={"generate": False, **members})
    assert answer.status == 200, await answer.text()
    name: str = (await answer.json())["id"]
    return name


async def _refused(answer: aiohttp.ClientResponse) -> tuple[int, str | None, str]:
    error = (await answer.json())["error"]
    return answer.status, error["code"], error["param"]


async def test_a_chain_and_a_conversation_have_the_bound_of_one_body(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """With smaller bounds for the stored part; everything else is as served."""
    words = [{"role": "user", "content": [{"type": "input_text", "text": "hello"}] * 20}]
    first = await _made(proxy, input=words)
    second = await _made(proxy, input=words, previous_response_id=first)
    made = await proxy.http.post(f"{proxy.base_url}/conversations", json={"items": words * 2})
    conversation = (await made.json())["id"]
    counted = f"{proxy.base_url}/responses/input_tokens"
    store = proxy.server.store
    for members in ({"previous_response_id": second}, {"conversation": conversation}):
        [param] = members
        for bound in ("VALUES", "HISTORY_BYTES"):
            answer = await proxy.http.post(counted, json={"input": "hi", **members})
            assert answer.status == 200, await answer.text()
            with monkeypatch.context() as patch:
                patch.setattr(bounds, bound, 40)
                failing = FailingStore(store)
                failing.broken |= {"conversation", "events"} if bound == "HISTORY_BYTES" else set()  # its size is known before
                proxy.server.store = proxy.server.conversations.store = failing.as_store
                for route in ("responses/input_tokens", "responses/compact", "responses"):
                    asked = {"input": "hi", "model": "gpt-5.5", **members}
                    answer = await proxy.http.post(f"{proxy.base_url}/{route}", json=asked)
                    by_extent = (route, param, bound) == ("responses", "conversation", "HISTORY_BYTES")  # before anything is read
                    told = (400, None, "items") if by_extent else (400, "context_length_exceeded", param)
                    assert await _refused(answer) == told, (route, bound)
                proxy.server.store = proxy.server.conversations.store = store
    async with proxy.http.ws_connect(f"{proxy.base_url}/responses") as socket:
        with monkeypatch.context() as patch:
            patch.setattr(bounds, "VALUES", 40)
            await socket.send_json({"type": "response.create", "input": "hi", "previous_response_id": second})
            told = json.loads((await socket.receive()).data)
            assert (told["status"], told["error"]["code"]) == (400, "context_length_exceeded")


async def test_one_caller_reads_one_at_a_time(proxy: Proxy) -> None:
    previous = await _made(proxy, input="hello")
    histories = proxy.server.histories = Slots("conversations", 2, 1, wait_timeout=0.0)
    asked = {"input": "hi", "previous_response_id": previous}
    async with histories.one("somebody else"):
        assert (await proxy.http.post(f"{proxy.base_url}/responses/input_tokens", json=asked)).status == 200
        async with histories.one("another"):
            answer = await proxy.http.post(f"{proxy.base_url}/responses/input_tokens", json=asked)
            assert (answer.status, "Retry-After" in answer.headers) == (503, True)
            with pytest.raises(ServerFull):
                async with histories.one("another"):
                    pass


async def test_items_that_a_request_refers_to_are_bounded_together(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = f"{proxy.base_url}/responses/input_tokens"
    words = {"role": "user", "content": [{"type": "input_text", "text": "hello"}] * 5}
    made = await proxy.http.post(f"{proxy.base_url}/conversations", json={"items": [words] * 2})
    listed = await proxy.http.get(f"{proxy.base_url}/conversations/{(await made.json())['id']}/items")
    named = [{"type": "item_reference", "id": one["id"]} for one in (await listed.json())["data"]]
    assert len(named) == 2
    answer = await proxy.http.post(counted, json={"input": named})
    assert answer.status == 200, await answer.text()
    monkeypatch.setattr(bounds, "VALUES", 60)
    answer = await proxy.http.post(counted, json={"input": named})
    assert await _refused(answer) == (400, None, "input")
    assert "60 values" in await answer.text()
    monkeypatch.undo()
    in_conversations = [item_ids.of_conversation("msg", f"conv_{n:032x}", "0" * 16) for n in range(101)]
    in_responses = [item_ids.of_output("msg", f"resp_{n:032x}", 0) for n in range(1001)]
    for lost, told in ((in_conversations, "100 conversations"), (in_responses, "1,000 responses")):
        answer = await proxy.http.post(counted, json={"input": [{"type": "item_reference", "id": one} for one in lost]})
        assert await _refused(answer) == (400, None, "input")
        assert told in await answer.text()
    failing = FailingStore(proxy.server.store)
    proxy.server.store = failing.as_store
    answer = await proxy.http.post(counted, json={"input": [{"type": "item_reference", "id": one} for one in in_responses[:1000]]})
    assert await _refused(answer) == (404, "item_not_found", "input")
    assert in_responses[0] in await answer.text()
    assert failing.calls.count("get") == 1  # the others do not matter any more
