"""A server for a whole table of refusals."""

from collections.abc import AsyncIterator

import pytest

from codex_proxy.demo.model import ModelServer
from tests.conftest import Proxy, ProxyStarter
from tests.support.refusals import GOOD_BODY, post


@pytest.fixture
def one_worker(environ: dict[str, str]) -> dict[str, str]:
    """The environment of a server with one worker."""
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    return environ


@pytest.fixture
async def refusing(one_worker: dict[str, str], start_proxy: ProxyStarter, model: ModelServer) -> AsyncIterator[Proxy]:
    """A server that runs no turn in the test, and still serves one afterwards."""
    async with start_proxy() as proxy:
        yield proxy
        assert model.calls == 0
        answer = await post(proxy, GOOD_BODY)
        assert answer.status == 200, await answer.text()
        assert model.calls == 1
