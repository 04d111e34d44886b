"""Clients that somebody else wrote, tried with the demo's model: a command, a program of npm's, and in a long run a library."""

from pathlib import Path

import pytest

from codex_proxy.demo import script
from codex_proxy.demo.model import ModelServer
from tests.clients.client_list import BY_NAME
from tests.clients.other_clients import NotInstalled, attempt, install
from tests.clients.test_node_sdk import missing
from tests.conftest import Proxy
from tests.support.long_run import LONG


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llm", "qwen-code", *(["magentic"] if LONG else [])])
async def test_a_client_works_as_it_comes(name: str, proxy: Proxy, model: ModelServer, tmp_path: Path) -> None:
    model.script = script.script
    try:
        await install(BY_NAME[name], tmp_path / "installed")
    except NotInstalled as error:
        missing(str(error))
    home = tmp_path / "home"
    home.mkdir()
    assert await attempt(BY_NAME[name], tmp_path / "installed", proxy.base_url, home) is None
    assert model.calls > 0
