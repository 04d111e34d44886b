"""The tasks of a chat UI on the real CLI: chat mode, lowest effort, not rated, not kept, named in a header and the log."""

import asyncio
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from tests.conftest import TURN_LIMIT, Proxy, ProxyStarter
from tests.dialects.test_ui_tasks import _TITLE

_ROUTES = ("chat/completions", "responses")


async def _ask(proxy: Proxy, route: str, prompt: str) -> aiohttp.ClientResponse:
    if route == "chat/completions":
        return await proxy.chat(prompt=prompt)
    return await proxy.http.post(f"{proxy.base_url}/responses", json={"model": "gpt-5.5", "input": prompt})


async def _nothing_is_kept(proxy: Proxy, answer: aiohttp.ClientResponse) -> None:
    assert (await answer.json()).get("store", False) is False
    assert (await proxy.server.store.latest("anybody", 1, 1))[0] == []
    assert len(proxy.server.traces.threads) == 0


@pytest.mark.parametrize("route", _ROUTES)
async def test_a_title_is_made_in_chat_mode_at_the_lowest_effort_and_does_not_use_up_the_rate(
    route: str, start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    environ |= {"RATE_LIMIT_PER_MINUTE": "1", "CODEX_SANDBOX_MODE": "workspace-write"}
    async with start_proxy() as proxy:
        for _ in range(4):
            title = await _ask(proxy, route, _TITLE)
            assert title.status == 200, await title.text()
        assert title.headers["x-codex-ui-task"] == "Open WebUI: title"
        assert title.headers["x-codex-sandbox"] == "none: no command can run"
        assert title.headers["x-codex-effort"] == "low"
        seen = model.requests[-1]
        assert "exec_command" not in seen.tool_names
        assert seen.body["reasoning"]["effort"] == "low"
        await _nothing_is_kept(proxy, title)
        assert (await _ask(proxy, route, _TITLE)).status == 429
        person = await _ask(proxy, route, "Hello")
        assert person.status == 200
        assert "x-codex-ui-task" not in person.headers
        assert (await _ask(proxy, route, "Hello")).status == 429
    assert [getattr(record, "members", {}).get("ui_task") for record in caplog.records if record.message == "turn ended"] == [
        *["Open WebUI: title"] * 4,
        None,
    ]


async def test_as_agents_they_are_turns_like_any_other(
    start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer
) -> None:
    environ["PROXY_UI_TASKS"] = "agent"
    async with start_proxy() as proxy:
        title = await proxy.chat(prompt=_TITLE)
        assert "x-codex-ui-task" not in title.headers
        assert "exec_command" in model.requests[-1].tool_names


async def test_a_title_waits_behind_every_person_and_leaves_the_last_slot_free(
    start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer
) -> None:
    asked: list[str] = []
    let_go = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        asked.append("title" if request.prompt.startswith("### Task") else request.prompt)
        if request.prompt == "first":
            await let_go.wait()
        yield Say(("ok",))

    model.script = script
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "2"
    async with start_proxy() as proxy, asyncio.timeout(TURN_LIMIT), asyncio.TaskGroup() as group:
        first = group.create_task(proxy.chat(prompt="first"))
        while asked != ["first"]:
            await asyncio.sleep(0)
        titles = [group.create_task(_ask(proxy, route, _TITLE)) for route in _ROUTES]  # one slot is free, and is kept for a person
        while proxy.server.jobs.waiting < len(titles):
            await asyncio.sleep(0)
        assert (await proxy.chat(prompt="second")).status == 200
        assert asked == ["first", "second"]
        let_go.set()
        assert [(await answer).status for answer in (first, *titles)] == [200] * 3
        assert asked == ["first", "second", "title", "title"]
