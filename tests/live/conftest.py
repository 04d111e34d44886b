"""A place for named keys, and the installed command as somebody else."""

import os
import shutil
from pathlib import Path

import pytest

from codex_proxy.demo.home import Home
from tests.support.agents_tools import use_model


@pytest.fixture
def key_file(home: Home, environ: dict[str, str]) -> Path:
    """Where PROXY_API_KEYS_FILE of the server is; the test writes it."""
    file = home.root / "keys" / "keys.toml"
    file.parent.mkdir(mode=0o700)
    environ["PROXY_API_KEYS_FILE"] = str(file)
    return file


def wrap(environ: dict[str, str], directory: Path, line: str) -> None:
    """Have `start_command`, which must come later, run the installed command by `line` of a shell."""
    program = shutil.which("codex-proxy", path=environ["PATH"])
    wrapper = directory / "codex-proxy"
    wrapper.write_text(f'#!/bin/sh\n{line} "{program}" "$@"\n')
    wrapper.chmod(0o755)
    environ["PATH"] = f"{directory}{os.pathsep}{environ['PATH']}"


def _with_setpriv(environ: dict[str, str], directory: Path, flags: str) -> None:
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
        wrap(environ, directory, f"exec setpriv {flags}")


@pytest.fixture
def in_code_mode(home: Home) -> None:
    """Requests that name no model get one in code mode, as nearly all are."""
    use_model(home, "gpt-5.6-sol")


@pytest.fixture
def as_anybody(environ: dict[str, str], tmp_path: Path) -> None:
    """The installed command without root's rights over other processes, where the tests run as root."""
    _with_setpriv(environ, tmp_path, "--bounding-set=-all --inh-caps=-all")


@pytest.fixture
def closed_is_closed(environ: dict[str, str], tmp_path: Path) -> None:
    """The installed command without root's right to enter every directory, where the tests run as root."""
    rights = "-dac_override,-dac_read_search"
    _with_setpriv(environ, tmp_path, f"--bounding-set={rights} --inh-caps={rights}")
