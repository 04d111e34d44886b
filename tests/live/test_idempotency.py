"""Idempotency-Key on the real CLI: one turn for a key, and the same answer for each repetition."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_idempotency_key_gives_the_same_answer_without_a_second_turn(
    proxy: Proxy, model: ModelServer, path: str, stream: bool
) -> None:
    let_go = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        await let_go.wait()
        yield Say(words(f"answer {model.calls}"))

    model.script = script
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "go"}]} if path.startswith("chat") else {"input": "go"}

    async def post(changes: dict[str, Any]) -> tuple[int, str]:
        url = f"{proxy.base_url}/{path}"
        answer = await proxy.http.post(url, json=body | {"stream": stream} | changes, headers={"Idempotency-Key": "k1"})
        return answer.status, await answer.text()

    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(post({})) for _ in range(2))
        while model.calls == 0:
            await asyncio.sleep(0)
        let_go.set()
    assert first.result() == second.result() == await post({})
    assert first.result()[0] == 200
    assert model.calls == 1
    status, text = await post({"model": "gpt-5.5"})
    assert (status, json.loads(text)["error"]["code"]) == (409, "idempotency_key_reused")


async def test_a_key_whose_first_request_left_no_answer_is_told_so_in_bounded_time_and_not_run(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]
) -> None:
    environ |= {"CODEX_TIMEOUT": "1", "CODEX_QUEUE_TIMEOUT": "0.1"}
    body = b'{"input":"go"}'
    key = hashlib.sha256(b"anybody\n/v1/responses\nlost").hexdigest()
    async with start_proxy() as proxy:
        claimed = await proxy.server.store.claim(key, "anybody", hashlib.sha256(body).hexdigest(), "dead", 60)
        assert claimed is None
        headers = {"Idempotency-Key": "lost", "Content-Type": "application/json"}
        answer = await proxy.http.post(f"{proxy.base_url}/responses", data=body, headers=headers)
        assert (answer.status, (await answer.json())["error"]["code"]) == (409, "idempotency_key_reused")
        assert model.calls == 0
