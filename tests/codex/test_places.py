"""What the server executes or believes lies in no place that commands write in, nor what is kept from them too deep in one."""

import sys
from pathlib import Path

import msgspec
import pytest

from codex_proxy.codex import places
from codex_proxy.settings import Settings, SettingsError, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a server that has everything, each in a directory of its own."""
    for name in ("home", "work", "conf", "bin", "state"):
        (tmp_path / name).mkdir()
    for name in ("conf/keys.toml", "conf/.env"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o600)
    program = tmp_path / "bin" / "codex"
    program.write_text("")
    program.chmod(0o755)
    environ = {
        "HOME": str(tmp_path / "home"),
        "PATH": f"{tmp_path / 'bin'}:/usr/bin",
        "CODEX_CONFIG_DIR": str(tmp_path / "home" / "codex"),
        "CODEX_WORKDIR": str(tmp_path / "work"),
        "CODEX_ENV_FILE": str(tmp_path / "conf" / ".env"),
        "PROXY_API_KEYS_FILE": str(tmp_path / "conf" / "keys.toml"),
        "PROXY_STORE": f"sqlite://{tmp_path}/state/responses.sqlite",
    }
    return load(environ, tmp_path)[0]


def _with_root(settings: Settings, root: Path, *, ceiling: str = "workspace-write") -> Settings:
    return msgspec.structs.replace(settings, workdir=root, sandbox_ceiling=ceiling)


def test_places_of_their_own_are_taken(settings: Settings) -> None:
    places.make_directories(settings)
    assert settings.workdir.is_dir()


def test_the_list_has_all_that_is_executed_or_believed(settings: Settings, tmp_path: Path) -> None:
    listed = {place for _, place in places.ours(settings)}
    believed = {settings.env_file, settings.api_keys_file, settings.store_file, settings.codex_home}
    assert listed >= {*believed, tmp_path / "bin" / "codex", tmp_path / "bin", Path(sys.executable), Path(sys.prefix)}
    assert any((place / "codex" / "warden.py").exists() for place in listed)


def test_nothing_of_it_may_lie_in_a_workspace_that_commands_may_write(settings: Settings) -> None:
    for what, place in places.ours(settings):
        for root in (place.parent, place.parent.parent):  # two levels up a command renames the level between
            if root != Path("/"):
                with pytest.raises(SettingsError) as caught:
                    places.make_directories(_with_root(settings, root))
                assert what in str(caught.value)
                assert f"lies inside the workspace {root}" in str(caught.value)


def test_in_one_that_nobody_writes_it_may(settings: Settings, tmp_path: Path) -> None:
    places.make_directories(_with_root(settings, tmp_path, ceiling="read-only"))


def test_a_link_in_a_workspace_on_the_way_to_it_is_found_out(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "work" / "link").symlink_to(tmp_path / "bin")
    through = {**settings.environ, "PATH": f"{tmp_path}/work/link:/usr/bin"}
    linked = msgspec.structs.replace(settings, environ=through)
    with pytest.raises(SettingsError, match="a directory of PATH, lies inside the workspace"):
        places.make_directories(linked)


def test_what_is_kept_from_commands_lies_directly_in_a_workspace_or_outside(settings: Settings, tmp_path: Path) -> None:
    def denying(place: Path) -> Settings:
        return msgspec.structs.replace(settings, deny_read=(place,))

    places.make_directories(denying(tmp_path / "work" / "secrets"))
    with pytest.raises(SettingsError, match=f"Name {tmp_path}/work/deep in CODEX_DENY_READ"):
        places.make_directories(denying(tmp_path / "work" / "deep" / "secrets"))
    with pytest.raises(SettingsError, match=r"lies inside .* which is kept from commands"):
        places.make_directories(denying(tmp_path))


def test_workspaces_inside_each_other_are_refused_unless_nobody_writes(tmp_path: Path) -> None:
    environ = {"CODEX_WORKDIR": f"{tmp_path}/a", "CODEX_WORKSPACES": f"{tmp_path}/b:{tmp_path}/a/deep"}
    with pytest.raises(SettingsError, match=f"{tmp_path}/a/deep lies inside {tmp_path}/a"):
        load(environ, tmp_path)
    assert load(environ | {"CODEX_SANDBOX_CEILING": "read-only"}, tmp_path)
