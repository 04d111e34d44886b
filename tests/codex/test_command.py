"""The command line of the CLI: which of its features are off; and who may run it."""

import itertools
import os

import pytest

from codex_proxy.codex import command
from codex_proxy.codex.command import Command
from codex_proxy.turns import Mode

_OFF = ("plugins", "apps", "skill_mcp_dependency_install", "goals", "multi_agent")


@pytest.mark.parametrize("mode", ["agent", "chat"])
def test_what_installs_or_works_on_its_own_is_off_in_every_mode(mode: Mode) -> None:
    argv = Command("codex", (0, 163, 0), frozenset([*_OFF, "personality"])).argv(mode)
    disabled = [name for flag, name in itertools.pairwise(argv) if flag == "--disable"]
    assert set(_OFF) <= set(disabled)
    assert "personality" not in disabled


def test_a_feature_that_the_cli_does_not_know_is_not_named() -> None:
    assert "--disable" not in Command("codex", (0, 147, 0), frozenset()).argv("chat")


@pytest.mark.parametrize(("user", "writable", "trouble"), [(0, True, True), (0, False, False), (1000, True, False)])
def test_a_server_run_as_root_is_warned_of_where_the_kernels_settings_can_be_changed(
    monkeypatch: pytest.MonkeyPatch, user: int, writable: bool, trouble: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "access", lambda *_: writable)
    assert (command.trouble_as_root() is not None) is trouble
