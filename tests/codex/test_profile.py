"""The operator's profile: what is copied into Codex's home at start, what is kept, refused, warned of; and the samples."""

import os
import stat
import subprocess
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from codex_proxy.codex import command, profile
from codex_proxy.codex.command import Command
from codex_proxy.codex.connection import Connection
from codex_proxy.codex.hidden import Hidden
from codex_proxy.codex.process import CodexProcess
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.settings import Settings, SettingsError, load
from tests.conftest import RunningCommand
from tests.support.sessions import http_session

_ROOT = Path(__file__).parents[2]
_SAMPLES = _ROOT / "workspace" / "codex_profile"
_CONFIGS = [
    pytest.param(path.read_text(), id=path.name)
    for path in (_SAMPLES / "codex_config.sample.toml", _ROOT / "docs" / "examples" / "codex-config.example.toml")
]

StartCommand = Callable[..., Awaitable[RunningCommand]]


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The profile directory."""
    (tmp_path / "profile").mkdir()
    return tmp_path / "profile"


@pytest.fixture
def codex_home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def settings(there: Path, codex_home: Path) -> Settings:
    return Settings(profile_dir=there, codex_home=codex_home, workdir=there.parent / "work")


def _write(file: Path, content: str) -> Path:
    file.write_text(content)
    file.chmod(0o644)
    return file


def _error(settings: Settings, codex_home: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        profile.copy(settings, codex_home)
    return str(caught.value)


def test_both_files_are_copied_under_codexs_names_and_told_of_once(settings: Settings, there: Path, codex_home: Path) -> None:
    _write(there / "codex_agents.md", "Be brief.\n")
    _write(there / "codex_config.toml", 'model = "a"\n')
    assert [line.split()[0] for line in profile.copy(settings, codex_home)] == [
        str(codex_home / "AGENTS.md"),
        str(codex_home / "config.toml"),
    ]
    assert (codex_home / "AGENTS.md").read_text() == "Be brief.\n"
    assert (codex_home / "config.toml").read_text() == 'model = "a"\n'
    assert stat.S_IMODE((codex_home / "config.toml").stat().st_mode) == 0o600
    before = (codex_home / "config.toml").stat()
    assert profile.copy(settings, codex_home) == []
    assert (codex_home / "config.toml").stat() == before
    assert sorted(path.name for path in codex_home.iterdir()) == ["AGENTS.md", "config.toml"]


def test_what_a_copy_replaces_is_kept_once(settings: Settings, there: Path, codex_home: Path) -> None:
    _write(codex_home / "config.toml", 'model = "mine"\n')
    for model in ("a", "b"):
        _write(there / "codex_config.toml", f'model = "{model}"\n')
        [told] = profile.copy(settings, codex_home)
        assert ("config.toml.bak" in told) == (model == "a")
        assert (codex_home / "config.toml").read_text() == f'model = "{model}"\n'
        assert (codex_home / "config.toml.bak").read_text() == 'model = "mine"\n'


def test_the_old_names_work_with_a_warning_and_the_new_ones_win(settings: Settings, there: Path, codex_home: Path) -> None:
    _write(there / "agent.md", "old\n")
    _write(there / "config.toml", 'model = "old"\n')
    told = profile.copy(settings, codex_home)
    assert [line for line in told if "old name" in line] == [
        f"{there}/agent.md has an old name; rename it to codex_agents.md.",
        f"{there}/config.toml has an old name; rename it to codex_config.toml.",
    ]
    assert (codex_home / "AGENTS.md").read_text() == "old\n"
    _write(there / "codex_agents.md", "new\n")
    assert f"{there}/agent.md is ignored, because there is also codex_agents.md." in profile.copy(settings, codex_home)
    assert (codex_home / "AGENTS.md").read_text() == "new\n"
    assert (codex_home / "config.toml").read_text() == 'model = "old"\n'


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "directory"])
@pytest.mark.parametrize("end", ["source", "target"])
def test_a_link_or_what_is_no_file_is_refused_on_both_ends(
    settings: Settings, there: Path, codex_home: Path, end: str, kind: str
) -> None:
    other = _write(there.parent / "other.toml", 'model = "other"\n')
    _write(there / "codex_config.toml", 'model = "a"\n')
    odd = there / "codex_config.toml" if end == "source" else codex_home / "config.toml"
    odd.unlink(missing_ok=True)
    match kind:
        case "link":
            odd.symlink_to(other)
        case "dangling":
            odd.symlink_to(there / "nowhere")
        case "pipe":
            os.mkfifo(odd)
        case "directory":
            odd.mkdir()
    assert _error(settings, codex_home).startswith(f"{odd} is refused: it is a link, or not a regular file.")
    assert other.read_text() == 'model = "other"\n'
    assert not (codex_home / "config.toml").is_file() or kind == "link"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_or_directory_that_others_may_write_is_refused(settings: Settings, there: Path, codex_home: Path, mode: int) -> None:
    file = _write(there / "codex_agents.md", "x\n")
    file.chmod(mode)
    assert f"chmod go-w {file}" in _error(settings, codex_home)
    file.chmod(0o600)
    there.chmod(mode | 0o100)
    assert f"chmod go-w {there}" in _error(settings, codex_home)
    assert not list(codex_home.iterdir())


@pytest.mark.parametrize("content", [b"model = \n", b"model = '\xff'\n"])
def test_what_is_not_toml_replaces_nothing(settings: Settings, there: Path, codex_home: Path, content: bytes) -> None:
    _write(codex_home / "config.toml", 'model = "mine"\n')
    _write(there / "codex_config.toml", "").write_bytes(content)
    assert _error(settings, codex_home).startswith(f"{there}/codex_config.toml is not TOML: ")
    assert [path.name for path in codex_home.iterdir()] == ["config.toml"]


def test_a_home_that_cannot_be_written_is_said_so(settings: Settings, there: Path, codex_home: Path) -> None:
    _write(there / "codex_agents.md", "x\n")
    codex_home.rmdir()
    assert "cannot be copied" in _error(settings, codex_home)


def test_a_directory_of_the_setting_must_be_there_and_outside_every_workspace(tmp_path: Path) -> None:
    missing = Settings(profile_dir=tmp_path / "missing")
    assert "CODEX_WRAPPER_PROFILE_DIR" in _error(missing, tmp_path)
    inside = tmp_path / "work" / "profile"
    inside.mkdir(parents=True)
    (tmp_path / "link").symlink_to(inside)
    for place in (inside, tmp_path / "link"):
        with pytest.raises(SettingsError, match="an agent could have written it"):
            load({"CODEX_WORKDIR": str(tmp_path / "work"), "CODEX_WRAPPER_PROFILE_DIR": str(place)}, tmp_path)


def test_the_usual_directory_is_used_unless_an_agent_could_write_it(
    tmp_path: Path, codex_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert profile.copy(Settings(workdir=tmp_path), codex_home) == []
    usual = tmp_path / "workspace" / "codex_profile"
    usual.mkdir(parents=True)
    _write(usual / "codex_agents.md", "x\n")
    [told] = profile.copy(Settings(workdir=tmp_path / "workspace"), codex_home)
    assert "not used" in told
    assert not list(codex_home.iterdir())
    assert len(profile.copy(Settings(workdir=tmp_path / "elsewhere"), codex_home)) == 1
    assert (codex_home / "AGENTS.md").read_text() == "x\n"


def test_commands_cannot_read_the_profile(settings: Settings, there: Path) -> None:
    file = _write(there / "codex_config.toml", "")
    _write(there / "codex_config.sample.toml", "")
    hidden = Hidden.of(settings, [str(there)])
    assert [place for place in there.iterdir() if hidden.hides(str(place))] == [file]


@pytest.mark.parametrize("example", _CONFIGS)
async def test_the_cli_takes_every_value_of_the_examples(example: str, cli: Command, home: Home) -> None:
    (home.codex_home / "config.toml").write_text(example)
    settings = Settings(codex_home=home.codex_home, environ={"HOME": str(home.root)})
    argv = [cli.path, "app-server", "--strict-config"]  # ends the CLI at a name that it does not know
    async with CodexProcess.started(argv, command.environment(settings), str(home.root)) as process:
        connection = Connection(process)
        client = {"name": "test", "title": "test", "version": "1"}
        await connection.request("initialize", {"clientInfo": client, "capabilities": {"experimentalApi": True}}, object)
        await connection.notify("initialized")
        read = await connection.request("config/read", {"includeLayers": False}, dict[str, Any])
    _assert_within(tomllib.loads(example), read["config"])


def _assert_within(wanted: object, found: object) -> None:
    """Every value of the first is in the second, at its place."""
    if not isinstance(wanted, dict):
        assert found == wanted
        return
    assert isinstance(found, dict)
    for name, value in wanted.items():
        _assert_within(value, found[name])


async def test_a_server_with_the_samples_as_its_profile_gives_them_to_the_model(
    start_command: StartCommand, environ: dict[str, str], home: Home, model: ModelServer, there: Path
) -> None:
    provider = (home.codex_home / "config.toml").read_text().partition("[")[2]
    config = f'model_provider = "demo"\n{(_SAMPLES / "codex_config.sample.toml").read_text()}\n[{provider}'
    agents = (_SAMPLES / "codex_agents.sample.md").read_text()
    _write(there / "codex_config.toml", config)
    _write(there / "codex_agents.md", agents)
    environ |= {"CODEX_WRAPPER_PROFILE_DIR": str(there), "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    running = await start_command()
    assert (home.codex_home / "config.toml").read_text() == config
    async with http_session() as http:
        body = {"messages": [{"role": "user", "content": "hi"}]}
        assert (await http.post(f"{running.base_url}/chat/completions", json=body)).status == 200
    assert any(agents.strip() in part.get("text", "") for item in model.requests[0].input for part in item.get("content", ()))
    assert await running.stop() == 0


def test_a_refused_profile_ends_the_start_with_2(environ: dict[str, str], there: Path, home: Home) -> None:
    (there / "codex_config.toml").symlink_to(home.codex_home / "config.toml")
    environ["CODEX_WRAPPER_PROFILE_DIR"] = str(there)
    done = subprocess.run(
        ["codex-proxy", "serve"], env=environ, cwd=home.root, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "is a link" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


async def test_the_demo_uses_no_profile(start_command: StartCommand, environ: dict[str, str], there: Path) -> None:
    _write(there / "codex_config.toml", "not TOML")
    environ["CODEX_WRAPPER_PROFILE_DIR"] = str(there)
    running = await start_command("--demo")
    assert await running.stop() == 0


def test_the_real_files_are_left_out_of_git_and_the_samples_are_not() -> None:
    names = [f"workspace/codex_profile/{name}" for name in ("codex_agents.md", "codex_config.toml", "agent.md", "config.toml")]
    ignored = subprocess.run(["git", "check-ignore", *names], cwd=_ROOT, capture_output=True, text=True, check=False)
    if ignored.returncode == 128:
        pytest.skip("not a clone")
    assert ignored.stdout.split() == names
    samples = ["git", "check-ignore", *(str(path) for path in _SAMPLES.glob("*.sample.*"))]
    assert subprocess.run(samples, cwd=_ROOT, capture_output=True, check=False).returncode == 1
