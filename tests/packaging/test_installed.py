"""The wheel in an empty environment, on the oldest and the newest Python: what a stranger gets from pip."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from codex_proxy import __version__
from tests.conftest import START_LIMIT
from tests.packaging.conftest import Built
from tests.support.long_run import LONG
from tests.support.sessions import http_session

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]
_PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
_INSTALL_LIMIT = 600.0  # seconds: the CLI is 140 MB


@pytest.mark.parametrize("version", ["3.11", *(["3.12"] if LONG else []), "3.13"])
async def test_pip_alone_makes_a_working_server(version: str, built: Built, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    _make_venv(_interpreter(version), venv)
    program, environ = str(venv / "bin" / "codex-proxy"), _environ(venv, tmp_path)

    _pip_install(venv, str(built.wheel))
    assert _output([program, "--version"], environ) == (0, f"codex-proxy {__version__}\n", "")
    code, _, said = _output([program, "serve"], environ)
    assert (code, "pip install openai-codex-cli-bin" in said, "Traceback" in said) == (2, True, False), said

    _pip_install(venv, f"{built.wheel}[cli]")
    await _answers(program, environ, f" at {venv}/")


def _interpreter(version: str) -> str:
    """A Python of this version that can make environments; a shim of pyenv's may be there and not run."""
    usual = [sys.executable, f"python{version}", *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    for python in usual:
        try:
            probed = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=False)
        except FileNotFoundError:
            continue
        if probed.stdout.strip() == version:
            return python
    pytest.skip(f"there is no Python {version} here")


def _make_venv(python: str, venv: Path) -> None:
    """Empty: the pip that runs this installs into it, which costs less than another pip in each."""
    subprocess.run([python, "-m", "venv", "--without-pip", venv], check=True, timeout=_INSTALL_LIMIT)


def _environ(venv: Path, home: Path) -> dict[str, str]:
    """A CLI of the machine must not be found; it may lie in any directory that is not the system's."""
    places = {"HOME": str(home), "CODEX_CONFIG_DIR": str(home / "codex"), "CODEX_WORKDIR": str(home / "workspace")}
    return {"PATH": os.pathsep.join([str(venv / "bin"), "/usr/bin", "/bin"]), "LANG": "C.UTF-8", "PROXY_PORT": "0", **places}


def _pip_install(venv: Path, what: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python")]
    pip += ["install", "--quiet", "--disable-pip-version-check", what]
    subprocess.run(pip, check=True, timeout=_INSTALL_LIMIT)


def _output(command: list[str], environ: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(
        command, env=environ, cwd=environ["HOME"], capture_output=True, text=True, timeout=START_LIMIT, check=False
    )
    return done.returncode, done.stdout, done.stderr


async def _answers(program: str, environ: dict[str, str], log: str) -> None:
    """The demo answers a request and ends at SIGINT with 0; `log` is in what it logged."""
    serve = await asyncio.create_subprocess_exec(
        program, "serve", "--demo", env=environ, cwd=environ["HOME"], stdout=PIPE, stderr=PIPE
    )
    try:
        assert serve.stdout is not None
        async with asyncio.timeout(START_LIMIT), http_session() as http:
            while not (found := re.search(rb"(http://[\d.]+:\d+)/v1", line := await serve.stdout.readline())):
                assert line or not serve.stdout.at_eof(), await serve.communicate()
            body = {"messages": [{"role": "user", "content": "Please run: `echo from-the-$((40 + 2))nd-shell`"}]}
            answer = await http.post(f"{found[1].decode()}/v1/chat/completions", json=body)
            assert "from-the-42nd-shell" in (await answer.json())["choices"][0]["message"]["content"]
            serve.send_signal(signal.SIGINT)
            _, said = await serve.communicate()
    finally:
        if serve.returncode is None:
            serve.kill()
            await serve.communicate()
    assert serve.returncode == 0
    assert log in said.decode()
