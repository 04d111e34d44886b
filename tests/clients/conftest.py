"""What the client libraries must not bring into a test: the keys, proxies and tracing of whoever runs it."""

import os

import pytest

_THEIRS = ("OPENAI_", "LANGSMITH_", "LANGCHAIN_")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries read the environment of this process; here it has nothing for them, and LangChain traces nothing."""
    for name in list(os.environ):
        if name.upper().startswith(_THEIRS) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
