"""GET /x_codex/responses: one's own kept responses, by pages, searched by text and model."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.web.console import kept as console_kept
from tests.conftest import Proxy, ProxyStarter
from tests.support.key_file import write_keys
from tests.web.test_openapi import answer_schema, errors_of


async def listed(proxy: Proxy, headers: dict[str, str] | None = None, **query: str) -> dict[str, Any]:
    answer = await proxy.http.get(f"{proxy.address}/x_codex/responses", params=query, headers=headers)
    page: dict[str, Any] = await answer.json()
    assert answer.status == 200, page
    assert errors_of(page, answer_schema("/x_codex/responses", "get")["schema"]) == []
    return page


async def kept(proxy: Proxy, text: str, headers: dict[str, str] | None = None, **members: object) -> str:
    answer = await proxy.http.post(f"{proxy.base_url}/responses", json={"input": text, **members}, headers=headers)
    body = await answer.json()
    assert answer.status == 200, body
    return str(body["id"])


async def test_what_is_kept_is_listed_latest_first_and_found_by_text_and_model(
    environ: dict[str, str], start_proxy: ProxyStarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ["PROXY_STORE"] = "memory"
    async with start_proxy() as proxy:
        assert await listed(proxy) == {"data": [], "next": None, "object": "list"}
        ids = [await kept(proxy, text) for text in ("Äpfel and pears\nin two lines", "pears alone", "nothing of it")]
        await kept(proxy, "forgotten", store=False)
        page = await listed(proxy)
        assert [one["id"] for one in page["data"]] == ids[::-1]
        assert [one["title"] for one in page["data"]] == ["nothing of it", "pears alone", "Äpfel and pears…"]
        assert page["data"][0]["usage"]["total_tokens"] == 15
        assert [one["id"] for one in (await listed(proxy, search="PEARS"))["data"]] == [ids[1], ids[0]]
        assert [one["id"] for one in (await listed(proxy, search="pears äpfel"))["data"]] == [ids[0]]
        assert len((await listed(proxy, search="scripted model"))["data"]) == 3  # of the answers
        assert (await listed(proxy, search="output_text"))["data"] == []  # how it is written down is not searched
        assert len((await listed(proxy, model="gpt-5.5"))["data"]) == 3
        assert (await listed(proxy, model="another"))["data"] == []
        assert await _by_pages(proxy, limit="2") == (ids[::-1], 2)
        monkeypatch.setattr(console_kept, "_READ", 1)  # fewer bytes than a response has
        monkeypatch.setattr(console_kept, "_PIECE", 4)  # characters that are searched at once
        assert await _by_pages(proxy, search="äpfel pears") == (ids[:1], 3)


async def _by_pages(proxy: Proxy, **query: str) -> tuple[list[str], int]:
    """What is listed, and on how many pages."""
    found: list[str] = []
    after = ""
    for number in itertools.count(1):
        page = await listed(proxy, None, after=after, **query)
        found += [one["id"] for one in page["data"]]
        if (after := page["next"]) is None:
            return found, number
    raise AssertionError


async def test_bad_queries_are_refused_by_name(proxy: Proxy) -> None:
    for query in ({"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"after": "resp_1"}, {"after": "1' OR 1"}, {"after": "."}):
        answer = await proxy.http.get(f"{proxy.address}/x_codex/responses", params=query)
        assert (answer.status, (await answer.json())["error"]["param"]) == (400, next(iter(query)))


async def test_nobody_is_shown_somebody_elses_not_even_the_operator(
    environ: dict[str, str], start_proxy: ProxyStarter, model: ModelServer, tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    keys = write_keys(file, {"anna": {}, "boris": {}, "chief": {"operator": True}})
    environ |= {"PROXY_API_KEYS_FILE": str(file), "PROXY_STORE": "memory"}
    async with start_proxy() as proxy:
        ids = {name: await kept(proxy, f"a question of {name}", bearer) for name, bearer in keys.items()}
        for name, bearer in keys.items():
            assert [one["id"] for one in (await listed(proxy, bearer))["data"]] == [ids[name]]
            assert [one["id"] for one in (await listed(proxy, bearer, search="question"))["data"]] == [ids[name]]
