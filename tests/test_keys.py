"""The file of named keys: what it may say, what is made of it, and what becomes of a change while a server runs."""

import logging
import os
import stat
from pathlib import Path

import msgspec
import pytest

from codex_proxy import keys, keys_file
from codex_proxy.keys import Entry, Keyring, Scope
from codex_proxy.settings import Settings, SettingsError, load

_TOKEN = "cpx_anna"
_DIGEST = keys.digest_of(_TOKEN).hex()
_ENTRY = f'[keys.anna]\nsha256 = "{_DIGEST}"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in ("work", "more", "elsewhere"):
        (tmp_path / name).mkdir()
    return Settings(api_keys_file=tmp_path / "keys.toml", workdir=tmp_path / "work", workspaces=(tmp_path / "more",))


@pytest.mark.parametrize(
    ("lines", "scope"),
    [
        ("", Scope(sandbox="workspace-write")),
        ("danger = true", Scope(sandbox="danger-full-access")),
        ('sandbox = "read-only"', Scope(sandbox="read-only")),
        ('sandbox = "read-only"\ndanger = true', Scope(sandbox="read-only")),
        ('sandbox = "danger-full-access"\ndanger = true', Scope(sandbox="danger-full-access")),
        ("network = false", Scope(sandbox="workspace-write", network=False)),
        ('models = ["a", "b"]', Scope(models=("a", "b"), sandbox="workspace-write")),
    ],
)
def test_a_key_may_do_what_its_table_says(settings: Settings, lines: str, scope: Scope) -> None:
    _write(settings, _ENTRY + lines)
    found = Keyring(settings).find(_TOKEN)
    assert found is not None
    assert (found.name, found.scope, found.rate_limit, found.parallel_turns) == ("anna", scope, None, None)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[keys", "not a keys file"),
        ("[other]\n", "other"),
        ("[keys.anna]\n", "sha256"),
        ('[keys.anna]\nsha256 = "abc"', "sha256"),
        (_ENTRY + 'sandbox = "none"', "workspace-write"),
        (_ENTRY + 'sandbox = "danger-full-access"', "danger = true"),
        (_ENTRY + "danger = true\nnetwork = false", "contradicts"),
        (_ENTRY + _ENTRY.replace("anna", "bob"), "same key"),
        (_ENTRY + "parallel_turns = 0", "parallel_turns"),
        (_ENTRY + "rate_limit_per_minute = -1", "rate_limit_per_minute"),
        (_ENTRY + 'network = "yes"', "network"),
        (_ENTRY + "sanbdox = 1", "sanbdox"),
        (_ENTRY + 'workspaces = ["/"]', "CODEX_WORKSPACES"),
        (_ENTRY + "workspaces = []", "workspaces"),
        (_ENTRY + "models = []", "models"),
        (_ENTRY.replace("anna", '"an na"'), "letters"),
    ],
)
def test_a_bad_file_is_told_with_what_is_wrong_in_it(settings: Settings, text: str, word: str) -> None:
    _write(settings, text)
    with pytest.raises(SettingsError) as caught:
        Keyring(settings)
    assert word in str(caught.value)
    assert str(settings.api_keys_file) in str(caught.value)


def test_a_workspace_of_a_key_is_a_directory_of_the_servers(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "work" / "link").symlink_to(tmp_path / "elsewhere")
    for place in ("elsewhere", "work/link", "work/missing", "more-twin"):
        _write(settings, f'{_ENTRY}workspaces = ["{tmp_path}/{place}"]')
        with pytest.raises(SettingsError):
            Keyring(settings)
    _write(settings, f'{_ENTRY}workspaces = ["{tmp_path}/more"]')
    found = Keyring(settings).find(_TOKEN)
    assert found is not None
    assert found.scope.workspaces == (tmp_path / "more",)


def test_a_workspace_of_one_key_inside_anothers_is_refused_where_both_may_write(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "work" / "deep").mkdir()
    inner = f'{_ENTRY}workspaces = ["{tmp_path}/work/deep"]'
    outer = f'[keys.outer]\nsha256 = "{"0" * 64}"\n'
    _write(settings, f"{inner}\n{outer}")
    with pytest.raises(SettingsError, match="work/deep of one key is inside"):
        Keyring(settings)
    _write(settings, inner)
    with pytest.raises(SettingsError, match="work/deep of one key is inside"):
        Keyring(msgspec.structs.replace(settings, api_key="sk-everything"))
    _write(settings, f'{inner}\n{outer}sandbox = "read-only"')
    assert len(Keyring(settings)) == 2
    _write(settings, f"{inner}\n{outer}")
    assert len(Keyring(msgspec.structs.replace(settings, sandbox_ceiling="read-only"))) == 2


def test_a_missing_file_says_how_to_make_one(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="codex-proxy keys add"):
        Keyring(settings)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_refused(settings: Settings, mode: int) -> None:
    _write(settings, _ENTRY).chmod(mode)
    with pytest.raises(SettingsError, match="chmod go-w"):
        Keyring(settings)


def test_a_file_in_a_workspace_is_refused_through_a_link_too(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "keys.toml").touch()
    (tmp_path / "work" / "keys.toml").symlink_to(tmp_path / "keys.toml")
    environ = {"CODEX_WORKDIR": str(tmp_path / "work"), "PROXY_API_KEYS_FILE": str(tmp_path / "work" / "keys.toml")}
    with pytest.raises(SettingsError, match="an agent could have written it"):
        load(environ, tmp_path)


def test_a_way_through_a_workspace_counts_as_in_it(tmp_path: Path) -> None:
    for name in ("work", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "work" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "alias").symlink_to(tmp_path / "work")
    for place in ("work/link", "alias/link", "elsewhere/../work/link"):
        environ = {"CODEX_WORKDIR": str(tmp_path / "work"), "PROXY_API_KEYS_FILE": str(tmp_path / place / "keys.toml")}
        with pytest.raises(SettingsError, match="an agent could have written it"):
            load(environ, tmp_path)
    environ["PROXY_API_KEYS_FILE"] = str(tmp_path / "elsewhere" / "keys.toml")
    assert load(environ, tmp_path)[0].api_keys_file == tmp_path / "elsewhere" / "keys.toml"


def test_the_wrong_key_is_nobodys(settings: Settings) -> None:
    _write(settings, _ENTRY)
    keyring = Keyring(settings)
    for token in ("", "anna", _TOKEN + "x", _TOKEN.upper(), _DIGEST, "\udcff\x00"):
        assert keyring.find(token) is None


def test_a_file_without_keys_lets_nobody_in(settings: Settings) -> None:
    _write(settings, "")
    assert Keyring(settings).find("") is None
    assert settings.has_keys


def test_a_change_holds_at_once_and_a_bad_one_changes_nothing(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    _write(settings, _ENTRY)
    keyring = Keyring(settings)
    with caplog.at_level(logging.ERROR):
        _write(settings, "[keys")
        assert keyring.find(_TOKEN) is not None
        assert keyring.find(_TOKEN) is not None
    assert len(caplog.records) == 1  # told once, not at every request
    _write(settings, "")
    assert keyring.find(_TOKEN) is None


def test_a_file_that_is_gone_changes_nothing(settings: Settings) -> None:
    file = _write(settings, _ENTRY)
    keyring = Keyring(settings)
    file.unlink()
    assert keyring.find(_TOKEN) is not None


def test_a_key_is_added_and_revoked_and_all_else_stays(settings: Settings) -> None:
    file = _write(settings, f"# ours\n{_ENTRY}# hers\nrate_limit_per_minute = 5\n")
    keyring = Keyring(settings)
    token = keys_file.add(settings, "bob", Entry(sha256="", danger=True, parallel_turns=2))
    found = keyring.find(token)
    assert found is not None
    assert (found.name, found.parallel_turns, found.scope.sandbox) == ("bob", 2, "danger-full-access")
    assert token not in file.read_text()
    keys_file.revoke(settings, "bob")
    assert keyring.find(token) is None
    assert file.read_text().strip() == f"# ours\n{_ENTRY}# hers\nrate_limit_per_minute = 5"


def test_the_first_key_makes_the_file_readable_by_us_alone(settings: Settings) -> None:
    token = keys_file.add(settings, "bob", Entry(sha256=""))
    assert settings.api_keys_file is not None
    assert stat.S_IMODE(settings.api_keys_file.stat().st_mode) == 0o600
    assert Keyring(settings).find(token) is not None
    assert sorted(os.listdir(settings.api_keys_file.parent)) == ["elsewhere", "keys.toml", "more", "work"]


def test_a_change_keeps_the_mode_of_the_file(settings: Settings) -> None:
    file = _write(settings, _ENTRY)
    file.chmod(0o640)
    keys_file.add(settings, "bob", Entry(sha256=""))
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("anna", Entry(sha256="")),
        ("an na", Entry(sha256="")),
        ("bob", Entry(sha256="", sandbox="none")),
        ("bob", Entry(sha256="", parallel_turns=0)),
        ("bob", Entry(sha256="", workspaces=("/",))),
    ],
)
def test_what_the_server_would_refuse_is_not_written(settings: Settings, name: str, entry: Entry) -> None:
    file = _write(settings, _ENTRY)
    with pytest.raises(SettingsError):
        keys_file.add(settings, name, entry)
    assert file.read_text() == _ENTRY


def test_revoking_what_is_not_there_says_so(settings: Settings) -> None:
    _write(settings, _ENTRY)
    with pytest.raises(SettingsError, match="codex-proxy keys list"):
        keys_file.revoke(settings, "bob")


def _write(settings: Settings, text: str) -> Path:
    """In the place of what was there, so that it is another file."""
    file = settings.api_keys_file
    assert file is not None
    new = file.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    return new.replace(file)
