"""Which AGENTS.md files Codex would read for a directory, and whether they have changed."""

import os
from pathlib import Path

import pytest

from codex_proxy.codex.documents import Documents, look


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A CODEX_HOME without documents."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository in a directory that has a document of its own, with directories a/b inside."""
    _write(tmp_path / "AGENTS.md")
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "a" / "b").mkdir(parents=True)
    return root


def test_where_there_is_none_there_is_none(repository: Path, home: Path) -> None:
    assert look(repository / "a" / "b", home) == Documents(project=(), user=())


def test_they_are_looked_for_from_the_git_root_down_to_the_directory(repository: Path, home: Path) -> None:
    files = [_write(repository / name) for name in ("AGENTS.md", "a/AGENTS.md", "a/b/AGENTS.md")]
    assert _project(repository / "a" / "b", home) == files
    assert _project(repository / "a", home) == files[:2]
    assert _project(repository, home) == files[:1]


def test_a_worktrees_git_file_marks_the_root_too(repository: Path, home: Path) -> None:
    (repository / "a" / ".git").write_text("gitdir: elsewhere\n")
    _write(repository / "AGENTS.md")
    inner = _write(repository / "a" / "AGENTS.md")
    assert _project(repository / "a" / "b", home) == [inner]


def test_without_a_git_root_only_the_directory_counts(tmp_path: Path, home: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    _write(tmp_path / "x" / "AGENTS.md")
    assert _project(tmp_path / "x" / "y", home) == []
    inner = _write(tmp_path / "x" / "y" / "AGENTS.md")
    assert _project(tmp_path / "x" / "y", home) == [inner]


def test_overrides_and_further_names_count(repository: Path, home: Path) -> None:
    files = [_write(repository / name) for name in ("AGENTS.override.md", "AGENTS.md", "CLAUDE.md")]
    assert _project(repository, home) == files[:2]
    assert [Path(path) for path, _ in look(repository, home, ("CLAUDE.md", "NONE.md")).project] == files


def test_the_users_document_is_found_by_its_own_names_only(repository: Path, home: Path) -> None:
    _write(home / "CLAUDE.md")
    own = _write(home / "AGENTS.md")
    found = look(repository, home, ("CLAUDE.md",))
    assert (found.project, [path for path, _ in found.user]) == ((), [str(own)])


def test_equal_documents_mean_that_nothing_has_changed(repository: Path, home: Path) -> None:
    document = _write(repository / "AGENTS.md")
    before = look(repository, home)
    assert look(repository, home) == before
    os.utime(document, ns=(0, document.stat().st_mtime_ns + 1))
    assert look(repository, home) != before


@pytest.mark.parametrize("name", ["repository/a/AGENTS.md", "repository/AGENTS.override.md", "home/AGENTS.md"])
def test_a_document_that_comes_or_goes_is_a_change(repository: Path, home: Path, tmp_path: Path, name: str) -> None:
    before = look(repository / "a", home)
    document = _write(tmp_path / name)
    assert look(repository / "a", home) != before
    document.unlink()
    assert look(repository / "a", home) == before


def test_a_link_to_a_document_counts_as_what_it_leads_to(repository: Path, home: Path, tmp_path: Path) -> None:
    target = _write(tmp_path / "elsewhere.md")
    (repository / "AGENTS.md").symlink_to(target)
    before = look(repository, home)
    assert [path for path, _ in before.project] == [str(repository / "AGENTS.md")]
    os.utime(target, ns=(0, 1))
    assert look(repository, home) != before


def test_links_that_lead_nowhere_are_no_documents(repository: Path, home: Path) -> None:
    (repository / "AGENTS.md").symlink_to(repository / "missing")
    (repository / "AGENTS.override.md").symlink_to(repository / "AGENTS.override.md")
    assert _project(repository, home) == []


def test_a_directory_that_is_gone_has_none(tmp_path: Path) -> None:
    assert look(tmp_path / "gone", tmp_path / "gone too") == Documents(project=(), user=())


def _write(file: Path) -> Path:
    file.write_text("Be kind.\n")
    return file


def _project(cwd: Path, home: Path) -> list[Path]:
    return [Path(path) for path, _ in look(cwd, home).project]
