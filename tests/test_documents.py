"""The documents say what the program does, in both languages: `scripts/check-docs`, the defaults, the unit of a user."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from codex_proxy.settings import SETTINGS, Settings
from tests.support.fresh_copy import ROOT, fresh_copy

_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Settings)}
_FORMS = {
    "README.md": re.compile(r"^\| `([A-Z_]+)` \| (.*?) \|", re.MULTILINE),
    "docs/ENV.md": re.compile(r"^\| `([A-Z_]+)` \| (.*?) \|", re.MULTILINE),
    ".env.example": re.compile(r"^#([A-Z_]+)=(.*)$", re.MULTILINE),
}
_COMPUTED = ("CODEX_WRAPPER_PROFILE_DIR", "PROXY_MAX_BODIES_MB")  # None in Settings: a place that may be missing, twice another
_ALLOWED = re.compile(r"^\| `([A-Z_]+)` \| [^|]* \| ((?:`[^`|]+`(?:, )?)+) \|", re.MULTILINE)


def _check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, root / "scripts" / "check-docs"], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


def test_the_documents_are_in_step() -> None:
    done = _check(ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("document", "there", "planted", "says"),
    [
        (
            "README.ja.md",
            r"\A# codex-proxy\n",
            r"\g<0>\n## 余分\n",
            r"README.ja.md:\d+: a heading of level 2 stands where README.md:\d+ has a code block",
        ),
        ("README.ja.md", r"\n### [^\n]+\n", "\n", r"README.ja.md:\d+: .* stands where README.md:\d+ has a heading of level 3"),
        (
            "README.ja.md",
            r"scripts/start --demo",
            "scripts/start --dmo",
            r"README.ja.md:\d+: the code line '.*--dmo.*' stands where",
        ),
        ("README.md", r"keys revoke ci\n", r"", r"README.ja.md:\d+: the code line '.*keys revoke.*' stands where README.md"),
        ("README.ja.md", r"\n- [^\n]+", "", r"README.ja.md:\d+: .* stands where README.md:\d+ has a list's item"),
        ("README.ja.md", r"\n\| キー \|[^\n]+", "", r"README.ja.md:\d+: .* stands where README.md:\d+ has a table's row"),
        ("README.ja.md", r"`x-codex-ignored`", "`x-codex-ingored`", r"README.ja.md:\d+: the code word 'x-codex-ingored' is not in"),
        (
            "README.ja.md",
            r"\(docs/SECURITY.md\)",
            "(docs/ENV.md)",
            r"README.ja.md:\d+: the link 'docs/SECURITY.md' of .* is missing",
        ),
        ("README.ja.md", r"bearer token", "token", r"README.ja.md:\d+: the table of Settings is not the same as in README.md"),
        ("README.md", r"<!-- tested: alone -->", "", r"README.md:\d+: no comment before this block says"),
        (
            "docs/AGENTS.md",
            r"\(ARCHITECTURE.md\)",
            "(ARCHITECTUR.md)",
            r"docs/AGENTS.md:\d+: the link ARCHITECTUR.md leads to no file",
        ),
        (
            "docs/TROUBLESHOOTING.md",
            r"\.md#reverse-proxies",
            ".md#reverse-proxy",
            r"docs/TROUBLESHOOTING.md:\d+: the link DEPLOYMENT.md#reverse-proxy leads to no heading",
        ),
        ("README.md", r"console-light\.png", "light.png", r"README.md:\d+: the link docs/images/light.png leads to no file"),
        ("docs/DEPLOYMENT.md", r"<!-- tested: client -->", "", r"docs/DEPLOYMENT.md:\d+: no comment before this block says"),
        (
            "docs/DEPLOYMENT.md",
            r"install '\.\[cli,redis\]'",
            "install 'codex-proxy[redis]'",
            r"docs/DEPLOYMENT.md:\d+: `pip install 'codex-proxy\[redis\]'` would not install this project",
        ),
        (
            "docs/ENV.md",
            r"SECURITY.md#what",
            "SECURITY.md#that",
            r"docs/ENV.md:\d+: the link SECURITY.md#that.* leads to no heading",
        ),
        (".env.example", r"#LOG_LEVEL=info\n", "", r".env.example: the setting LOG_LEVEL is missing"),
        ("docs/ENV.md", r"`LOG_FORMAT`", "`LOG_FROMAT`", r"docs/ENV.md:\d+: the program has no setting LOG_FROMAT"),
        (
            "README.md",
            r"(\n\| `CODEX_TIMEOUT`[^\n]+)(\n[^\n]+)",
            r"\2\1",
            r"README.md:\d+: CODEX_QUEUE_TIMEOUT stands where .* CODEX_TIMEOUT",
        ),
    ],
)
def test_a_difference_is_said_with_its_place(tmp_path: Path, document: str, there: str, planted: str, says: str) -> None:
    copy = fresh_copy(tmp_path)
    changed, times = re.subn(there, planted, (copy / document).read_text(), count=1)
    assert times == 1, "the document no longer has what the test changes"
    (copy / document).write_text(changed)
    done = _check(copy)
    assert done.returncode == 1
    assert re.search(says, done.stderr), done.stderr


@pytest.mark.parametrize("document", _FORMS)
def test_the_defaults_in_the_documents_are_the_programs(document: str) -> None:
    told = {name: value.strip("`").partition("`")[0] for name, value in _FORMS[document].findall((ROOT / document).read_text())}
    for setting in SETTINGS:
        value = told[setting.name]
        if setting.name in _COMPUTED:
            continue
        if value not in ("", "unset", "none", "loopback names"):
            assert setting.read(value) == _DEFAULTS[setting.field], setting.name
        else:
            assert not _DEFAULTS[setting.field] or setting.name == "PROXY_ALLOWED_HOSTS", setting.name


def test_the_values_that_are_said_to_be_allowed_are() -> None:
    read = {setting.name: setting.read for setting in SETTINGS}
    rows = [row for row in _ALLOWED.findall((ROOT / "docs" / "ENV.md").read_text()) if "port" not in row[1]]
    assert len(rows) > 4
    for name, allowed in rows:
        for value in re.findall(r"`([^`]+)`", allowed):
            read[name](value)


def test_systemd_takes_the_unit_of_a_user(tmp_path: Path) -> None:
    unit = (ROOT / "docs" / "examples" / "codex-proxy.user.service").read_text()
    file = tmp_path / "codex-proxy.service"
    file.write_text(unit.replace("%h/codex-proxy/.venv/bin/codex-proxy", "/bin/true"))
    try:
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", file],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed")
    assert (done.returncode, done.stderr) == (0, "")
