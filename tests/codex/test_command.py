"""The command line of the CLI: which of its features are off."""

import itertools

import pytest

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
