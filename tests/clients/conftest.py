"""What the client libraries must not bring into a test: the keys, proxies and tracing of whoever runs it."""

import os
from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI

from tests.conftest import TURN_LIMIT, Proxy

_THEIRS = ("OPENAI_", "LANGSMITH_", "LANGCHAIN_")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries read the environment of this process; here it has nothing for them, and LangChain traces nothing."""
    for name in list(os.environ):
        if name.upper().startswith(_THEIRS) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[AsyncOpenAI]:
    """The SDK, as its users set it up; but for the retries, which would hide a failure."""
    async with AsyncOpenAI(base_url=proxy.base_url, api_key="any", max_retries=0, timeout=TURN_LIMIT) as connected:
        yield connected
