"""The documents say what the program does: settings in README.md and .env.example, and their defaults."""

import re
from pathlib import Path

import msgspec
import pytest

from codex_proxy.settings import SETTINGS, Settings

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| (.*) \|$", re.MULTILINE)
_EXAMPLE = re.compile(r"^#([A-Z_]+)=(.*)$", re.MULTILINE)
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Settings)}


def test_the_readme_lists_every_setting_and_no_other_in_the_order_of_the_program() -> None:
    names = [row[0] for row in _ROW.findall((ROOT / "README.md").read_text())]
    assert names == ["CODEX_ENV_FILE", *(setting.name for setting in SETTINGS)]


def test_the_example_file_has_every_setting() -> None:
    names = [row[0] for row in _EXAMPLE.findall((ROOT / ".env.example").read_text())]
    assert names == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize("document", ["README.md", ".env.example"])
def test_the_defaults_in_the_documents_are_the_programs(document: str) -> None:
    text = (ROOT / document).read_text()
    told = {row[0]: row[1].strip("`") for row in (_ROW if document == "README.md" else _EXAMPLE).findall(text)}
    for setting in SETTINGS:
        value = told[setting.name]
        if value not in ("", "unset", "none", "loopback names"):
            assert setting.read(value) == _DEFAULTS[setting.field], setting.name
        else:
            assert not _DEFAULTS[setting.field] or setting.name == "PROXY_ALLOWED_HOSTS", setting.name


def test_the_files_that_the_readme_links_to_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
