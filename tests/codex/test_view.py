"""What commands see is found anew when a directory changes, and only that directory is read again: it is on each turn's way."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

import codex_proxy
from codex_proxy.codex.view import Views
from codex_proxy.settings import Settings, load


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with something of each kind, in a place that is hidden itself (/tmp)."""
    (tmp_path / "work").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name in ("src", ".ssh", ".cargo/bin", "codex"):
        (tmp_path / "home" / name).mkdir(parents=True)
    (tmp_path / "home" / "link").symlink_to("/usr/share")
    return tmp_path / "home"


def _settings(home: Path) -> Settings:
    environ = {"HOME": str(home), "CODEX_CONFIG_DIR": str(home / "codex"), "CODEX_WORKDIR": str(home.parent / "work")}
    return load(environ, home.parent)[0]


def _shown(views: Views) -> tuple[str, ...]:
    return views.view(root=None, network=False).shown or ()


def _replaced_by_a_link(home: Path) -> None:
    (home / "src").rename(home / "was")
    (home / "src").symlink_to(home / ".ssh")


def _led_elsewhere(home: Path) -> None:
    (home.parent / "elsewhere" / "step").symlink_to("/usr/share")
    (home / "far").symlink_to(home.parent / "elsewhere" / "step")


_CHANGES: dict[str, tuple[Callable[[Path], object], set[str], set[str]]] = {  # what is shown then, and no longer, of the home
    "a new directory": (lambda home: (home / "new").mkdir(), {"new"}, set()),
    "a new secret": (lambda home: (home / ".netrc").write_text(""), set(), set()),
    "a removed directory": (lambda home: (home / "src").rmdir(), set(), {"src"}),
    "a link to a secret in its place": (_replaced_by_a_link, {"was"}, {"src"}),
    "a link to what is shown": (_led_elsewhere, {"far"}, set()),
    "a toolchain gone": (lambda home: shutil.rmtree(home / ".cargo"), set(), {".cargo/bin"}),
    "a toolchain that comes": (lambda home: (home / ".local" / "bin").mkdir(parents=True), {".local/bin"}, set()),
    "a file in a hidden place": (lambda home: (home.parent / "other").write_text(""), set(), set()),
    "the home itself": (lambda home: home.rename(home.parent / "gone"), set(), {"src", "link", ".cargo/bin"}),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_a_change_is_seen_as_by_a_server_that_starts_now(home: Path, change: str) -> None:
    settings = _settings(home)
    views = Views(settings, ())
    before = set(_shown(views))
    assert {str(home / name) for name in ("src", "link", ".cargo/bin")} <= before
    act, more, less = _CHANGES[change]
    act(home)
    assert set(_shown(views)) == (before | {str(home / name) for name in more}) - {str(home / name) for name in less}
    assert _shown(views) == _shown(Views(settings, ()))


def test_a_link_is_followed_again_when_anything_changes(home: Path) -> None:
    _led_elsewhere(home)
    views = Views(_settings(home), ())
    assert str(home / "far") in _shown(views)
    step = home.parent / "elsewhere" / "step"
    step.unlink()
    step.symlink_to(home / ".ssh")
    (home / ".cargo" / "new").write_text("")
    assert str(home / "far") not in _shown(views)


def test_no_place_is_named_twice(home: Path) -> None:
    """Each mount is half a millisecond of each command; what the CLI shows by itself is not named again (0.147.0 to 0.169.0)."""
    shown = _shown(Views(_settings(home), ()))
    assert not [place for place in shown if place in ("/bin", "/lib", "/lib64", "/sbin") and os.path.islink(place)]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("ceiling", ["read-only", "workspace-write"])
def test_the_checkout_of_the_server_is_hidden_and_a_workspace_in_it_is_not(
    home: Path, monkeypatch: pytest.MonkeyPatch, ceiling: str
) -> None:
    checkout = home / "src" / "proxy"
    for name in ("codex_proxy", "workspace/file", "docs"):
        (checkout / name).mkdir(parents=True)
    (checkout / "setup.py").write_text("")
    (checkout / ".env").write_text("")
    monkeypatch.setattr(codex_proxy, "__file__", str(checkout / "codex_proxy" / "__init__.py"))
    around = (
        set() if ceiling == "workspace-write" else {checkout / name for name in ("codex_proxy", "docs", "setup.py", "workspace")}
    )
    for workspace, seen in ((checkout / "workspace", {checkout / "workspace"}), (home / "src", around)):
        changes = {"env_file": checkout / ".env", "workdir": workspace, "sandbox": ceiling, "sandbox_ceiling": ceiling}
        shown = _shown(Views(msgspec.structs.replace(_settings(home), **changes), ()))
        assert {one for one in shown if one.startswith(f"{home / 'src'}/")} == set(map(str, seen))
    opened = msgspec.structs.replace(_settings(home), allow_read=(checkout,))
    assert str(checkout) in _shown(Views(opened, ()))


def test_only_a_changed_directory_is_read_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "link").unlink()  # directories with links are read again
    views = Views(_settings(home), ())
    _shown(views)
    read: list[str] = []
    scandir = os.scandir

    def counted(place: str) -> Iterator[os.DirEntry[str]]:
        read.append(place)
        return scandir(place)

    monkeypatch.setattr("os.scandir", counted)
    (home.parent / "other").write_text("")  # in a hidden place: what counts there is known without reading it
    _shown(views)
    assert not [place for place in read if place.startswith(str(home.parent))]
    (home / "new").mkdir()
    _shown(views)
    assert [place for place in read if place.startswith(str(home.parent))] == [str(home)]
