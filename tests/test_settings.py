"""Reading the settings: what wins, what is refused, what is warned of, what is never said. Single ones: test_settings_values."""

import subprocess
import sys
from pathlib import Path

import pytest

from codex_proxy.settings import DEPRECATED, FIRST_WORKDIR, Settings, SettingsError, load

_KEY = "sk-proxy-never-shown"


def test_nothing_set_gives_the_defaults_and_no_warning(tmp_path: Path) -> None:
    assert load({}, tmp_path) == (Settings(), [])


def test_the_os_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    env_file = _write(tmp_path / ".env", "PROXY_PORT=1111\nRATE_LIMIT_PER_MINUTE=7\n")
    settings, warnings = load({"PROXY_PORT": "2222"}, tmp_path)
    assert (settings.port, settings.rate_limit_per_minute, settings.max_queued) == (2222, 7, 64)
    assert (settings.env_file, warnings) == (env_file, [])


def test_codex_env_file_names_another_file_relative_to_the_directory(tmp_path: Path) -> None:
    _write(tmp_path / ".env", "PROXY_PORT=1111\n")
    named = _write(tmp_path / "conf" / "proxy.env", "PROXY_PORT=2222\n")
    for given in (str(named), "conf/proxy.env"):
        settings, _ = load({"CODEX_ENV_FILE": given}, tmp_path)
        assert (settings.port, settings.env_file) == (2222, named)


@pytest.mark.parametrize("given", ["missing.env", "conf", "/dev/null", "a.env/b"])
def test_a_codex_env_file_that_is_no_file_is_refused(tmp_path: Path, given: str) -> None:
    (tmp_path / "conf").mkdir()
    assert _error({"CODEX_ENV_FILE": given}, tmp_path) == f"CODEX_ENV_FILE={given} is not valid: there is no such file."


def test_codex_env_file_inside_the_file_is_ignored_with_a_warning(tmp_path: Path) -> None:
    _write(tmp_path / "other.env", "PROXY_PORT=2222\n")
    _write(tmp_path / ".env", "PROXY_PORT=1111\nCODEX_ENV_FILE=other.env\n")
    settings, warnings = load({}, tmp_path)
    assert settings.port == 1111
    assert [warning.split()[0] for warning in warnings] == ["CODEX_ENV_FILE"]


def test_what_belongs_to_codex_is_reported_in_the_file_and_not_used(tmp_path: Path) -> None:
    _write(tmp_path / ".env", f"CODEX_HOME={tmp_path}/stolen\nOPENAI_API_KEY=sk-openai-secret\n")
    settings, warnings = load({}, tmp_path)
    assert [warning.split()[0] for warning in warnings] == ["CODEX_HOME", "OPENAI_API_KEY"]
    assert "sk-openai-secret" not in "".join(warnings)
    assert settings.codex_home is None
    assert "OPENAI_API_KEY" not in settings.environ


def test_codex_home_of_the_os_environment_is_used_where_no_config_dir_is_given(tmp_path: Path) -> None:
    environ = {"CODEX_HOME": str(tmp_path / "home"), "OPENAI_API_KEY": "sk-openai"}
    settings, warnings = load(environ, tmp_path)
    assert (settings.codex_home, settings.environ["OPENAI_API_KEY"], warnings) == (tmp_path / "home", "sk-openai", [])
    settings, _ = load(environ | {"CODEX_CONFIG_DIR": str(tmp_path / "ours")}, tmp_path)
    assert settings.codex_home == tmp_path / "ours"


def test_values_of_the_file_are_taken_as_they_stand(tmp_path: Path) -> None:
    _write(tmp_path / ".env", "# a comment\nexport PROXY_API_KEY='a$HOME${PATH}b'\n\nCODEX_PATH=\"/opt/my codex\"\n")
    settings, _ = load({"HOME": "/nowhere"}, tmp_path)
    assert (settings.api_key, settings.host, settings.codex_path) == ("a$HOME${PATH}b", "127.0.0.1", "/opt/my codex")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    _write(tmp_path / ".env", "LOG_LEVEL=loud\nPROXY_STORE=postgres\n")
    lines = _error({"PROXY_PORT": "x", "CODEX_TIMEOUT": "y", "PROXY_HOST": "0.0.0.0"}, tmp_path).splitlines()
    names = [line.partition("=")[0].split()[0] for line in lines]
    assert sorted(names) == ["CODEX_TIMEOUT", "LOG_LEVEL", "PROXY_HOST", "PROXY_PORT", "PROXY_STORE"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("PROXY_PROT", "PROXY_PORT"),
        ("PROXY_APIKEY", "PROXY_API_KEY"),
        ("PROXY_CORS_ORIGIN", "PROXY_CORS_ORIGINS"),
        ("CODEX_TIMOUT", "CODEX_TIMEOUT"),
        ("CODEX_WORK_DIR", "CODEX_WORKDIR"),
        ("RATE_LIMIT_PER_MIN", "RATE_LIMIT_PER_MINUTE"),
        ("LOG_LEVLE", "LOG_LEVEL"),
        ("CODEX_PROXY_RATE_LIMIT_PER_MINUTE", "RATE_LIMIT_PER_MINUTE"),
    ],
)
def test_a_near_miss_is_warned_of(tmp_path: Path, given: str, meant: str) -> None:
    for environ, line in (({given: "1"}, ""), ({}, f"{given}=1\n")):
        _write(tmp_path / ".env", line)
        assert load(environ, tmp_path)[1] == [f"{given} is not a setting. Did you mean {meant}?"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [("CODEX_PROXY_PORT", "PROXY_PORT"), ("CODEX_PROXY_HOST", "PROXY_HOST"), ("CODEX_PROXY_API_KEY", "PROXY_API_KEY")],
)
def test_a_setting_with_our_whole_name_before_it_is_a_near_miss(tmp_path: Path, given: str, meant: str) -> None:
    assert load({given: "1"}, tmp_path)[1] == [f"{given} is not a setting. Did you mean {meant}?"]


@pytest.mark.parametrize(
    "name", ["PROXY_COMMAND", "CODEX_CI", "CODEX_INTERNAL_ORIGINATOR", "LOG_DIR", "HOME", "PORT", "OPENAI_BASE_URL"]
)
def test_a_name_that_only_looks_like_ours_is_not_warned_of(tmp_path: Path, name: str) -> None:
    assert load({name: "1"}, tmp_path)[1] == []


@pytest.mark.parametrize("name", DEPRECATED)
def test_a_deprecated_name_is_warned_of_and_has_no_effect(tmp_path: Path, name: str) -> None:
    settings, warnings = load({name: "gpt-4"}, tmp_path)
    assert warnings == [f"{name} is deprecated and has no effect."]
    assert settings == Settings(environ={name: "gpt-4"})


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o660, 0o666])
def test_an_env_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    env_file = _write(tmp_path / ".env", f"PROXY_API_KEY={_KEY}\n")
    env_file.chmod(mode)
    error = _error({}, tmp_path)
    assert str(env_file) in error
    assert _KEY not in error


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o644])
def test_an_env_file_that_only_its_owner_may_write_is_read(tmp_path: Path, mode: int) -> None:
    _write(tmp_path / ".env", "PROXY_PORT=1111\n").chmod(mode)
    assert load({}, tmp_path)[0].port == 1111


@pytest.mark.parametrize(
    "line",
    [
        *("PROXY_API_KEY", "PROXY_API_KEY: secret", "PROXY_API_KEY secret", "PROXY_API_KEY:secret=x", "PROXY-API-KEY=secret"),
        *('PROXY_API_KEY="secret', "PROXY_API_KEY='secret", "just words", "=secret", '"PROXY_API_KEY"=secret', "export"),
    ],
)
def test_a_line_that_is_no_assignment_ends_the_start(tmp_path: Path, line: str) -> None:
    env_file = _write(tmp_path / ".env", f"# keys\n\nPROXY_PORT=1111\n\n{line}\n")
    error = _error({}, tmp_path)
    assert error.startswith(f"{env_file}, line 5, ")
    assert "secret" not in error


@pytest.mark.parametrize("name", ["PROXY_API_KEY", "PROXY_API_KEYS_FILE"])
def test_an_empty_key_ends_the_start(tmp_path: Path, name: str) -> None:
    env_file = _write(tmp_path / ".env", f"\n# keys\n{name}=\n")
    assert f"{name} is empty in {env_file}, line 3" in _error({}, tmp_path)
    assert load({name: str(tmp_path / "keys" / "x")}, tmp_path)[0].has_keys
    for empty in ("", "  "):
        assert f"{name} is empty in the environment" in _error({name: empty}, tmp_path)


def test_an_env_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PROXY_API_KEY=\xff\xfe\n")
    assert str(tmp_path / ".env") in _error({}, tmp_path)


def test_an_env_file_inside_a_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    env_file = _write(tmp_path / "real" / "deep" / ".env", "PROXY_PORT=1111\n")
    for workdir in ("real", "real/deep", "link", "link/deep", "."):
        assert str(env_file) in _error({"CODEX_WORKDIR": str(tmp_path / workdir)}, env_file.parent)
    assert str(env_file) in _error({"CODEX_WORKSPACES": f"{tmp_path}/other:{tmp_path}/real"}, env_file.parent)
    assert str(env_file) in _error({"CODEX_WORKDIR": str(tmp_path), "CODEX_ENV_FILE": str(env_file)}, tmp_path / "real")


def test_an_env_file_beside_a_workspace_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "work.env" / ".env", "PROXY_PORT=1111\n")
    settings, _ = load({"CODEX_WORKDIR": str(tmp_path / "work")}, tmp_path / "work.env")
    assert settings.port == 1111


def test_a_link_in_a_workspace_to_an_env_file_is_refused(tmp_path: Path) -> None:
    outside = _write(tmp_path / "conf" / "proxy.env", "PROXY_PORT=1111\n")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".env").symlink_to(outside)
    assert "work" in _error({"CODEX_WORKDIR": str(tmp_path / "work")}, tmp_path / "work")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "box.example"])
def test_an_open_server_listens_on_loopback_only(tmp_path: Path, host: str) -> None:
    assert _error({"PROXY_HOST": host}, tmp_path).startswith(f"PROXY_HOST={host} ")
    for allowing in ({"PROXY_API_KEY": _KEY}, {"PROXY_ALLOW_UNAUTHENTICATED": "1"}):
        assert load({"PROXY_HOST": host} | allowing, tmp_path)[0].host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_an_open_server_may_listen_on_loopback(tmp_path: Path, host: str) -> None:
    assert load({"PROXY_HOST": host}, tmp_path)[0].host == host


def test_danger_mode_needs_its_permission_beside_it(tmp_path: Path) -> None:
    danger = {"CODEX_SANDBOX_MODE": "danger-full-access"}
    assert "CODEX_ALLOW_DANGER_FULL_ACCESS=1" in _error(danger, tmp_path)
    assert load(danger | {"CODEX_ALLOW_DANGER_FULL_ACCESS": "1"}, tmp_path)[0].sandbox == "danger-full-access"


def test_danger_mode_is_in_reach_of_requests_with_its_permission_unless_the_ceiling_says_less(tmp_path: Path) -> None:
    permission = {"CODEX_ALLOW_DANGER_FULL_ACCESS": "1"}
    assert load({}, tmp_path)[0].sandbox_ceiling == "workspace-write"
    assert load(permission, tmp_path)[0].sandbox_ceiling == "danger-full-access"
    assert load(permission | {"CODEX_SANDBOX_CEILING": "read-only"}, tmp_path)[0].sandbox_ceiling == "read-only"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"CODEX_SANDBOX_CEILING": "danger-full-access"}, "CODEX_ALLOW_DANGER_FULL_ACCESS=1"),
        ({"CODEX_SANDBOX_MODE": "workspace-write", "CODEX_SANDBOX_CEILING": "read-only"}, "CODEX_SANDBOX_CEILING=read-only"),
        ({"CODEX_WORKSPACE_NETWORK_ACCESS": "1", "CODEX_NETWORK_CEILING": "0"}, "CODEX_WORKSPACE_NETWORK_ACCESS=1"),
        ({"CODEX_ALLOW_DANGER_FULL_ACCESS": "1", "CODEX_NETWORK_CEILING": "0"}, "CODEX_SANDBOX_CEILING=workspace-write"),
    ],
)
def test_a_default_over_its_ceiling_ends_the_start(tmp_path: Path, given: dict[str, str], named: str) -> None:
    assert named in _error(given, tmp_path)


@pytest.mark.parametrize("key", [_KEY, _KEY + "ü", f"'{_KEY}'", f"{_KEY}\n{_KEY}"])
def test_the_api_key_is_in_no_error_and_no_warning(tmp_path: Path, key: str) -> None:
    wrong = {"PROXY_PORT": "x", "PROXY_STORE": "x", "CODEX_SANDBOX_MODE": "danger-full-access"}
    assert _KEY not in _error(wrong | {"PROXY_API_KEY": key}, tmp_path)
    if key.isascii():
        assert _KEY not in "".join(load({"PROXY_API_KEY": key, "PROXY_APIKEY": _KEY, "CODEX_MODEL": _KEY}, tmp_path)[1])
    else:
        assert "PROXY_API_KEY" in _error({"PROXY_API_KEY": key}, tmp_path)


def _write(file: Path, content: str) -> Path:
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(content)
    file.chmod(0o600)
    return file


def _error(environ: dict[str, str], cwd: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ, cwd)
    return str(caught.value)


def test_an_open_loopback_server_has_no_rate_limit_and_any_other_has_one(tmp_path: Path) -> None:
    for environ, limit in (
        ({}, 0),
        ({"PROXY_HOST": "localhost"}, 0),
        ({"PROXY_API_KEY": "key"}, 60),
        ({"PROXY_API_KEYS_FILE": str(tmp_path / "keys.toml")}, 60),
        ({"PROXY_HOST": "0.0.0.0", "PROXY_ALLOW_UNAUTHENTICATED": "1"}, 60),
        ({"RATE_LIMIT_PER_MINUTE": "5"}, 5),
        ({"PROXY_API_KEY": "key", "RATE_LIMIT_PER_MINUTE": "0"}, 0),
    ):
        assert load(environ, tmp_path)[0].rate_limit_per_minute == limit, environ


def test_the_workspace_of_somebody_who_cannot_make_the_first_default_is_in_their_home(tmp_path: Path) -> None:
    if FIRST_WORKDIR.exists():
        pytest.skip(f"{FIRST_WORKDIR} is there, so anybody has it")
    script = (
        "import os\n"
        "from pathlib import Path\n"
        "from codex_proxy.settings import load\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        f"chosen, warnings = load({{'HOME': {str(tmp_path)!r}}}, Path('/'))\n"
        "print(chosen.workdir, chosen.workdir_unset, warnings)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/codex-workspace True []\n"
