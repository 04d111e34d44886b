"""A web search is network: without it the provider is not asked to search, whatever Codex's own configuration says."""

from pathlib import Path

import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from tests.conftest import ProxyStarter
from tests.support.key_file import write_keys
from tests.support.refusals import post, refusal

_ASK = {"messages": [{"role": "user", "content": "Hello?"}]}


@pytest.mark.parametrize("configured", ["live", "cached", None])
async def test_a_turn_without_network_cannot_search_the_web(
    start_proxy: ProxyStarter, home: Home, model: ModelServer, key_file: Path, configured: str | None
) -> None:
    config = home.codex_home / "config.toml"
    config.write_text((f'web_search = "{configured}"\n' if configured else "") + config.read_text())
    bearers = write_keys(key_file, {"online": {}, "offline": {"network": False}})
    async with start_proxy() as proxy:
        for bearer, wanted in ((bearers["online"], False), (bearers["offline"], None), (bearers["offline"], False)):
            answer = await post(proxy, {**_ASK, "x_codex": {"network_access": wanted}}, bearer)
            assert answer.status == 200, await answer.text()
            assert "web_search" not in model.requests[-1].tool_names
        assert (await post(proxy, _ASK, bearers["online"])).status == 200
        assert "web_search" in model.requests[-1].tool_names  # as Codex has it by itself


async def test_a_web_search_over_the_ceiling_is_refused(start_proxy: ProxyStarter, environ: dict[str, str]) -> None:
    environ["CODEX_NETWORK_CEILING"] = "0"
    async with start_proxy() as proxy:
        error = await refusal(await post(proxy, {**_ASK, "web_search_options": {}}))
        assert (error.code, error.param) == ("sandbox_not_allowed", "web_search_options")
        body = {"input": "Hello?", "tools": [{"type": "web_search"}]}
        async with proxy.http.post(f"{proxy.base_url}/responses", json=body) as answer:
            assert answer.status == 403
            assert (await answer.json())["error"]["param"] == "tools"
