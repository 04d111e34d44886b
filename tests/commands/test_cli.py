"""The command line itself: help, version, typing errors, and what a command must not import."""

import subprocess
import sys
from pathlib import Path

import pytest

from codex_proxy import __version__, cli

_WITHOUT_A_SERVER = """
import sys
from codex_proxy import cli
try:
    code = cli.main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
heavy = [name for name in ("aiohttp", "asyncio", "codex_proxy.web", "limits", "prometheus_client") if name in sys.modules]
assert not heavy, heavy
assert code == 0, code
"""


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert _too_wide(said) == []
    assert [name for name in cli.COMMANDS if f"\n  {name} " not in said] == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_of_its_own_in_eighty_columns(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        cli.main(["help", name])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"usage: codex-proxy {name}" in said
    assert _too_wide(said) == []


def _too_wide(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > 80]


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["version"]])
def test_the_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    assert capsys.readouterr().out == f"codex-proxy {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["docter"], "codex-proxy has no command 'docter'. Did you mean codex-proxy doctor?"),
        (["sevre"], "Did you mean codex-proxy serve?"),
        (["--demo"], "codex-proxy has no command '--demo'. An option goes after a command: codex-proxy serve --demo"),
        (["keys", "lst"], "keys: unknown command: lst. Did you mean list? Commands: add, list, revoke\n"),
        (["keys"], "    revoke    remove a key"),
        (["service"], "    uninstall\n"),
        (["keys", "add", "anna", "--rate", "x"], "--rate must be a whole number, not 'x'\n"),
        (["chat", "-e", "hihg", "Go"], "-e/--effort has no value 'hihg'. Did you mean high? Values: none, minimal, low"),
        (["keys", "add", "anna", "--sandbx=read-only"], "unknown option: --sandbx. Did you mean --sandbox?"),
        (["serve", "--prot", "1"], "unknown option: --prot. Did you mean --port?"),
        (["serve", "now"], "unknown argument: now.\n"),
    ],
)
def test_a_typing_error_is_told_with_what_was_meant(typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = cli.main(typed)
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert (code, meant in said) == (2, True), said


def test_what_cannot_be_written_is_a_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, open("/dev/full", "w") as full:
        patch.setattr(sys, "stdout", full)
        assert cli.main(["client"]) == 1
    assert capsys.readouterr().err == "codex-proxy client: No space left on device\n"
    monkeypatch.chdir("/proc")
    assert cli.main(["init", "--yes"]) == 1
    assert "/proc/.env cannot be written: " in capsys.readouterr().err


def test_without_a_command_help_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "Usage: codex-proxy COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["help", "keys"], ["keys", "list"]])
def test_what_needs_no_server_imports_none(words: list[str], tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.touch(mode=0o600)
    environ = {"PROXY_API_KEYS_FILE": str(keys), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_A_SERVER, *words], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
