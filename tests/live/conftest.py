"""A place for named keys."""

from pathlib import Path

import pytest

from codex_proxy.demo.home import Home


@pytest.fixture
def key_file(home: Home, environ: dict[str, str]) -> Path:
    """Where PROXY_API_KEYS_FILE of the server is; the test writes it."""
    file = home.root / "keys" / "keys.toml"
    file.parent.mkdir(mode=0o700)
    environ["PROXY_API_KEYS_FILE"] = str(file)
    return file
