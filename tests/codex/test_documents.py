"""Which documents of a project are read, and that nothing else ever is."""

import os
from pathlib import Path

import pytest

from codex_proxy.codex.documents import project_text, user_versions


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository in a directory that has a document of its own, with directories a/b inside."""
    _write(tmp_path / "AGENTS.md", "outside")
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "a" / "b").mkdir(parents=True)
    return root


def test_where_there_is_none_there_is_none(repository: Path) -> None:
    assert project_text(repository / "a" / "b") == ""
    assert project_text(repository / "gone") == ""


def test_they_are_read_from_the_git_root_down_to_the_directory(repository: Path) -> None:
    for name, text in (("AGENTS.md", "one\n"), ("a/AGENTS.md", "two"), ("a/b/AGENTS.md", "three")):
        _write(repository / name, text)
    assert project_text(repository / "a" / "b") == "one\n\ntwo\n\nthree"
    assert project_text(repository / "a") == "one\n\ntwo"


def test_a_worktrees_git_file_marks_the_root_too(repository: Path) -> None:
    _write(repository / "a" / ".git", "gitdir: elsewhere\n")
    _write(repository / "AGENTS.md", "above")
    _write(repository / "a" / "AGENTS.md", "inner")
    assert project_text(repository / "a" / "b") == "inner"


def test_without_a_git_root_only_the_directory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exists = os.path.exists  # what lies above the temporary directory is not ours, and may be a repository
    monkeypatch.setattr(os.path, "exists", lambda path: Path(path).is_relative_to(tmp_path) and exists(path))
    (tmp_path / "x" / "y").mkdir(parents=True)
    _write(tmp_path / "x" / "AGENTS.md", "above")
    assert project_text(tmp_path / "x" / "y") == ""
    assert project_text(tmp_path / "x") == "above"


def test_a_directory_has_one_an_override_before_all(repository: Path) -> None:
    _write(repository / "CLAUDE.md", "third")
    assert project_text(repository) == ""
    assert project_text(repository, ("NONE.md", "CLAUDE.md")) == "third"
    _write(repository / "AGENTS.md", "second")
    assert project_text(repository, ("CLAUDE.md",)) == "second"
    _write(repository / "AGENTS.override.md", "first")
    assert project_text(repository, ("CLAUDE.md",)) == "first"


def test_all_together_are_bounded(repository: Path) -> None:
    _write(repository / "AGENTS.md", "a" * 20_000)
    _write(repository / "a" / "AGENTS.md", "b" * 20_000)
    text = project_text(repository / "a")
    assert (text.count("a"), text.count("b")) == (20_000, 32_768 - 20_000)


def test_a_link_inside_the_project_is_followed(repository: Path) -> None:
    _write(repository / "CLAUDE.md", "inside")
    (repository / "a" / "AGENTS.md").symlink_to("../CLAUDE.md")
    assert project_text(repository / "a") == "inside"


@pytest.mark.parametrize("target", ["../AGENTS.md", "missing", "AGENTS.md", "/etc/passwd", "/dev/zero", "/proc/self/environ"])
def test_a_link_out_of_it_or_to_nothing_is_not(repository: Path, target: str) -> None:
    (repository / "AGENTS.md").symlink_to(target)
    assert project_text(repository) == ""


def test_a_directory_that_is_a_link_out_of_it_is_not_followed(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    _write(tmp_path / "elsewhere" / "AGENTS.md", "outside")
    (repository / "link").symlink_to(tmp_path / "elsewhere")
    assert project_text(repository / "link") == ""


def test_what_is_kept_from_commands_is_not_read(repository: Path) -> None:
    _write(repository / "a" / "AGENTS.md", "secret")

    def shows(place: str) -> bool:
        return not place.startswith(str(repository / "a"))

    assert project_text(repository / "a", (), shows) == ""
    (repository / "AGENTS.md").symlink_to("a/AGENTS.md")
    assert project_text(repository, (), shows) == ""


@pytest.mark.parametrize("swapped", ["sub", "sub/file"])
def test_what_a_command_puts_in_the_place_of_a_file_while_it_is_looked_at_is_not_read(tmp_path: Path, swapped: str) -> None:
    project, secret = tmp_path / "project", tmp_path / "secret"
    (project / "sub").mkdir(parents=True)
    secret.mkdir()
    (secret / "file").write_text("CANARY")
    (project / "sub" / "file").write_text("fine")
    (project / "AGENTS.md").symlink_to("sub/file")

    def swap(_: str) -> bool:
        (project / swapped).rename(project / "old")
        (project / swapped).symlink_to(secret / Path(swapped).relative_to("sub"))
        return True

    assert project_text(project) == "fine"
    assert project_text(project, (), swap) == ""


def test_what_is_no_file_is_not_waited_for(repository: Path) -> None:
    os.mkfifo(repository / "AGENTS.md")
    (repository / "a" / "AGENTS.md").mkdir()
    assert project_text(repository / "a") == ""


def test_what_is_no_text_is_read_as_well_as_it_goes(repository: Path) -> None:
    (repository / "AGENTS.md").write_bytes(b"be \xff kind")
    assert project_text(repository) == "be \N{REPLACEMENT CHARACTER} kind"


def test_a_change_of_the_users_own_is_noticed(tmp_path: Path) -> None:
    seen = {user_versions(tmp_path)}
    own = tmp_path / "AGENTS.md"
    _write(own, "kind")
    seen.add(user_versions(tmp_path))
    os.utime(own, ns=(0, 1))
    seen.add(user_versions(tmp_path))
    _write(tmp_path / "AGENTS.override.md", "kinder")
    seen.add(user_versions(tmp_path))
    assert len(seen) == 4


def _write(file: Path, text: str) -> None:
    file.write_text(text)
