"""docs/COMMANDS.md: a section for every command, with every option that it has and no other; its examples parse."""

import argparse
import re
import shlex

import pytest

from codex_proxy import cli
from codex_proxy.commands import running
from tests.support.fresh_copy import ROOT

_SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "COMMANDS.md").read_text(), re.MULTILINE | re.DOTALL))
_EVERYWHERE = {"-h", "--help", "--base-url", "--api-key"}


def _parser(name: str) -> running.Parser:
    return running.parser_of(cli.COMMANDS[name].module, f"codex-proxy {name}", cli.COMMANDS[name].help)[1]


def _options(parser: argparse.ArgumentParser) -> set[str]:
    found = {option for action in parser._actions for option in action.option_strings}
    below = [action.choices.values() for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return found.union(*(_options(one) for choices in below for one in choices))


def test_every_command_has_a_section_in_the_order_of_help() -> None:
    assert list(_SECTIONS) == list(cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_is_told_and_no_other(name: str) -> None:
    told = set(re.findall(r"`(--?[\w-]+)[` ]", _SECTIONS[name].partition("```sh")[0]))
    assert told | _EVERYWHERE == _options(_parser(name)) | _EVERYWHERE


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_examples_are_of_their_command_and_parse(name: str) -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", _SECTIONS[name], re.DOTALL) for line in block.splitlines()]
    assert lines
    for line in lines:
        words = shlex.split(re.sub(r"\s>.*", "", line.rpartition("| ")[2]))
        assert words[:2] == ["codex-proxy", name], line
        _parser(name).parse_args(words[2:])
