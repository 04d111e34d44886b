"""A web search is network: without it the provider is not asked to search, whatever Codex's own configuration says."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codex_proxy.demo import shell
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from tests.conftest import ProxyStarter
from tests.live.test_conversations import CALLS, SCRIPTS
from tests.support.agents_tools import use_model
from tests.support.key_file import write_keys
from tests.support.refusals import post, refusal

_ASK = {"messages": [{"role": "user", "content": "Hello?"}]}


async def _look(request: ModelRequest) -> AsyncIterator[Step]:
    """A model in code mode looks whether its scripts can search."""
    if request.outputs or "exec" not in request.tool_names:
        yield Say(("Hello.",))
    else:
        yield shell.script("text(`${Object.keys(tools)}`);", f"call_{len(request.input)}")


def _can_search(model: ModelServer) -> bool:
    request = model.requests[-1]
    return "web_search" in request.tool_names or "web__run" in "".join(request.outputs)


@pytest.mark.parametrize(("configured", "model_name"), [("live", SCRIPTS), ("cached", CALLS), (None, SCRIPTS)])
async def test_a_turn_without_network_cannot_search_the_web(
    start_proxy: ProxyStarter, home: Home, model: ModelServer, key_file: Path, configured: str | None, model_name: str
) -> None:
    """Scripts can search only with OpenAI's own provider."""
    model.script = _look
    search = f'web_search = "{configured}"\n' if configured else ""
    use_model(home, model_name)
    config = home.codex_home / "config.toml"
    config.write_text(search + config.read_text().replace('name = "codex-proxy demo"', 'name = "OpenAI"'))
    bearers = write_keys(key_file, {"online": {}, "offline": {"network": False}})
    async with start_proxy() as proxy:
        for bearer, wanted in ((bearers["online"], False), (bearers["offline"], None), (bearers["offline"], False)):
            answer = await post(proxy, {**_ASK, "x_codex": {"network_access": wanted}}, bearer)
            assert answer.status == 200, await answer.text()
            assert not _can_search(model)
        assert (await post(proxy, _ASK, bearers["online"])).status == 200
        assert _can_search(model)  # as Codex has it by itself


async def test_a_web_search_over_the_ceiling_is_refused(start_proxy: ProxyStarter, environ: dict[str, str]) -> None:
    environ["CODEX_NETWORK_CEILING"] = "0"
    async with start_proxy() as proxy:
        error = await refusal(await post(proxy, {**_ASK, "web_search_options": {}}))
        assert (error.code, error.param) == ("sandbox_not_allowed", "web_search_options")
        body = {"input": "Hello?", "tools": [{"type": "web_search"}]}
        async with proxy.http.post(f"{proxy.base_url}/responses", json=body) as answer:
            assert answer.status == 403
            assert (await answer.json())["error"]["param"] == "tools"
