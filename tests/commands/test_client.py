"""`codex-proxy client`: every configuration is what its program reads; those of programs that are here really work."""

import asyncio
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli
import yaml

from codex_proxy import cli, web
from codex_proxy.codex.command import Command
from codex_proxy.commands.client_configs import CONFIGS
from tests.conftest import Proxy

_VALUES = {"URL": "http://127.0.0.1:8000/v1", "KEY": 'a "key"', "MODEL": "gpt-5.5", "CHAT": "gpt-5.5:chat"}
_SNIPPETS = Path(web.__file__).parent / "console" / "static" / "snippets.js"
_PLAIN = {**_VALUES, "KEY": "cpx_key"}


def _python(text: str) -> None:
    compile(text, "config", "exec")


def _shell(text: str) -> None:
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0


def _env(text: str) -> None:
    assert all(len(shlex.split(line)) == 1 and "=" in line for line in text.splitlines())


def _javascript(text: str) -> None:
    done = subprocess.run(["node", "--check", "--input-type=module", "-"], input=text, text=True, check=False)
    assert done.returncode == 0


_READERS: dict[str, Callable[[str], object]] = {
    "yaml": yaml.safe_load,
    "toml": tomli.loads,
    "json": json.loads,
    "python": _python,
    "sh": _shell,
    "env": _env,
    "text": lambda text: [line.split(": ", 1)[1] for line in text.splitlines()],
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_is_well_formed_and_has_the_address_and_a_model(name: str) -> None:
    config = CONFIGS[name]
    text = config.filled(_PLAIN)
    assert "http://127.0.0.1:8000/v1" in text
    assert "gpt-5.5" in text
    assert "@URL@" not in text + config.note
    if config.kind == "javascript":
        _javascript_or_skip(text)
    else:
        _READERS[config.kind](text)


def _javascript_or_skip(text: str) -> None:
    try:
        _javascript(text)
    except FileNotFoundError:
        pytest.skip("node is not installed")


@pytest.mark.parametrize("name", [name for name, config in CONFIGS.items() if config.kind in ("yaml", "json", "python")])
def test_a_key_with_quotes_stays_one_string(name: str) -> None:
    config = CONFIGS[name]
    _READERS[config.kind](config.filled(_VALUES))


@pytest.mark.parametrize("name", ["openai", "node", "langchain", "codex", "continue", "open-webui"])
def test_the_console_shows_the_same(name: str) -> None:
    text = CONFIGS[name].text.rstrip("\n").replace("\n", "\\n")
    for hole, variable in (("URL", "baseUrl"), ("KEY", "secret"), ("MODEL", "model"), ("CHAT", "alone")):
        text = text.replace(f"@={hole}@", f"${{{variable}}}").replace(f"@{hole}@", f'"${{{variable}}}"')
    assert f"code: `{text}`" in _SNIPPETS.read_text()


def test_the_list_and_a_typing_error(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["client"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == sorted(CONFIGS)
    assert cli.main(["client", "adier"]) == 2
    assert "Did you mean aider?" in capsys.readouterr().err


def test_the_codex_cli_takes_its_configuration(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIGS["codex"].filled(_PLAIN))
    done = subprocess.run(
        [cli.path, "app-server", "--strict-config"],  # ends at a name that it does not know
        env={"CODEX_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["langchain", "openai"])
async def test_a_python_program_works_as_it_stands(name: str, proxy: Proxy, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(CONFIGS[name].filled({**_PLAIN, "URL": proxy.base_url}))
    done = await _run(sys.executable, str(program))
    assert done == "Hello from the scripted model.\n"


async def _run(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()
