"""`codex-proxy keys` as a person and as a program sees it."""

import json
import sys
from pathlib import Path

import pytest

from codex_proxy import cli


@pytest.fixture(autouse=True)
def _keys_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_API_KEYS_FILE", str(tmp_path / "keys.toml"))
    monkeypatch.chdir(tmp_path)


def test_keys_are_listed_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "add", "anna"]) == 0
    assert cli.main(["keys", "add", "ci", "--rate", "20", "--sandbox", "read-only", "--no-network"]) == 0
    capsys.readouterr()
    assert cli.main(["keys", "list"]) == 0
    header, anna, ci = capsys.readouterr().out.splitlines()
    assert header.startswith("NAME  RATE      PARALLEL  MODELS")
    assert anna.split()[:4] == ["anna", "server's", "server's", "all"]
    assert ci.split()[:5] == ["ci", "20", "server's", "all", "read-only"]
    assert "\x1b" not in header
    assert cli.main(["keys", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ci"]["rate_limit_per_minute"], told["ci"]["network"], "sha256" in told["ci"]) == (20, False, False)


def test_an_empty_list_says_how_to_fill_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "keys.toml").touch(mode=0o600)
    assert cli.main(["keys", "list"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "There are no keys yet. Create one: codex-proxy keys add NAME\n")


def test_colour_is_for_a_terminal_and_not_where_no_color_is_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["keys", "add", "anna"]) == 0
    for no_color, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setenv("TERM", "xterm")
        capsys.readouterr()
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        assert cli.main(["keys", "list"]) == 0
        assert ("\x1b[1mNAME" in capsys.readouterr().out) is coloured
