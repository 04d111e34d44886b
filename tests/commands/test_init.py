"""`codex-proxy init`: three questions, and a file that a server starts with."""

import stat
from pathlib import Path

import pytest

from codex_proxy import cli, settings
from tests.commands.terminal import CTRL_D, terminal


async def test_it_asks_three_questions_and_writes_a_private_file(environ: dict[str, str], tmp_path: Path) -> None:
    environ["HOME"] = str(tmp_path)
    async with terminal(environ, "init") as screen:
        await screen.shows("[a new one]: ")
        screen.press("y\n")
        await screen.shows("A key needs at least 8 characters.")
        await screen.shows("[a new one]: ")
        screen.press("\n")
        await screen.shows("[~/codex-workspace]: ")
        screen.press("~\n")
        await screen.shows("would be inside the workspace")
        screen.press("~/work\n")
        await screen.shows("read-only or workspace-write [read-only]: ")
        screen.press("full\n")
        await screen.shows("Type read-only or workspace-write.")
        screen.press("workspace-write\n")
        await screen.shows("codex-proxy serve")
        await screen.shows("client = OpenAI(base_url=")
        assert await screen.ends() == 0
    file = tmp_path / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    chosen, warnings = settings.load({"HOME": str(tmp_path)}, tmp_path)
    assert warnings == []
    assert (chosen.workdir, chosen.sandbox) == (tmp_path / "work", "workspace-write")
    assert (chosen.api_key or "").startswith("cpx_")
    async with terminal(environ, "init", "--force") as screen:
        await screen.shows("[a new one]: ")
        screen.press(CTRL_D)
        assert (await screen.ends(), "Traceback" in screen.seen) == (130, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workspace", "."], "would be inside the workspace"),
        (["--key", 'a"b'], "must not contain quotes"),
        (["--key", "ключ"], "a bearer token must be ASCII"),
    ],
)
def test_a_file_that_no_server_would_take_is_not_written(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "--yes", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / ".env").exists()


def test_a_file_that_is_there_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PROXY_PORT=1\n")
    assert cli.main(["init", "--yes"]) == 1
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / ".env").read_text() == "PROXY_PORT=1\n"
    assert cli.main(["init", "--yes", "--force", "--key", "none", "--workspace", str(tmp_path / "work")]) == 0
    assert "PROXY_API_KEY" not in (tmp_path / ".env").read_text()
