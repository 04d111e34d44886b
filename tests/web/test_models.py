"""GET /v1/models over the real CLI: which names it lists, in which order, and what it says of them."""

from typing import Any

import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from tests.conftest import Proxy, ProxyStarter


async def _listed(proxy: Proxy, query: str = "") -> dict[str, Any]:  # Any: any JSON
    async with proxy.http.get(f"{proxy.base_url}/models{query}") as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


async def test_the_configured_model_is_first_and_every_model_has_its_chat_mode(proxy: Proxy) -> None:
    data = (await _listed(proxy))["data"]
    ids = [entry["id"] for entry in data]
    assert ids[:2] == ["gpt-5.5", "gpt-5.5 chat"]
    assert len(ids) == len(set(ids)) < 40
    assert ids[1::2] == [f"{one} chat" for one in ids[::2]]
    first, second = data[:2]
    assert first["context_length"] == 272_000
    assert (first["x_codex"]["mode"], second["x_codex"]["mode"]) == ("agent", "chat")
    assert first["x_codex"]["reasoning_efforts"] == ["low", "medium", "high", "xhigh"]


async def test_the_operators_own_names_come_before_the_rest_of_the_catalogue(
    start_proxy: ProxyStarter, environ: dict[str, str], home: Home, model: ModelServer
) -> None:
    config = home.codex_home / "config.toml"
    config.write_text(config.read_text().replace('"gpt-5.5"', '"llama:8b"\nmodel_context_window = 8192', 1))
    environ |= {"CODEX_EXTRA_MODELS": "qwen:7b", "CODEX_MODEL_ALIASES": "gpt-4o=gpt-5.5 chat high,lost=nothing"}
    environ["CODEX_LIST_MODELS"] = "all"
    async with start_proxy() as proxy:
        data = (await _listed(proxy))["data"]
        ids = [entry["id"] for entry in data]
        assert ids[:5] == ["llama:8b", "llama:8b chat", "qwen:7b", "qwen:7b chat", "gpt-4o"]
        assert data[0]["context_length"] == 8192
        assert "context_length" not in data[2]
        assert data[4]["x_codex"] | {"input_modalities": []} == {
            "model": "gpt-5.5",
            "mode": "chat",
            "reasoning_effort": "high",
            "reasoning_efforts": ["low", "medium", "high", "xhigh"],
            "input_modalities": [],
        }
        assert "gpt-5.5 xhigh" in ids
        assert "lost" not in ids

        answer = await proxy.chat(model="GPT-4o", prompt="Hi")
        assert answer.status == 200
        assert (await answer.json())["model"] == "GPT-4o"
        assert (model.requests[-1].body["model"], model.requests[-1].body["reasoning"]["effort"]) == ("gpt-5.5", "high")
        assert answer.headers["x-codex-sandbox"] == "none: no command can run"


@pytest.mark.parametrize("name", ["gpt-5.5:chat", "GPT-5.5 chat", "openai/gpt-5.5 high", "", "gpt-5.5 chat high"])
async def test_names_that_clients_send_are_understood(proxy: Proxy, name: str) -> None:
    assert (await proxy.chat(model=name, prompt="Hi")).status == 200


async def test_the_manifest_for_the_codex_cli_stands_beside_the_list_only_when_it_is_asked_for(proxy: Proxy) -> None:
    assert "models" not in await _listed(proxy)
    found = await _listed(proxy, "?client_version=0.163.0")
    names = [entry["slug"] for entry in found["models"]]
    assert names == [entry["id"] for entry in found["data"]]
    assert [entry["priority"] for entry in found["models"]] == list(range(len(names)))
    assert found["models"][1]["context_window"] == 272_000
