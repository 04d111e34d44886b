"""`codex-proxy service`: the units that it writes, and what it asks of systemctl, for which a script stands in."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_proxy.commands.service import Scope, unit_text
from tests.commands.terminal import piped
from tests.support.fresh_copy import ROOT

_UNITS = ROOT / "codex_proxy" / "commands" / "units"


@pytest.fixture
def systemctl(environ: dict[str, str], tmp_path: Path) -> Callable[[], list[str]]:
    """The words of each call, a line each."""
    said, program = tmp_path / "said", tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >> {said}\n')
    program.chmod(0o755)
    environ["PATH"] = f"{program.parent}:{environ['PATH']}"
    environ["HOME"] = str(tmp_path)
    return lambda: said.read_text().splitlines()


async def test_a_service_of_ones_own_is_installed_shown_and_removed(
    environ: dict[str, str], systemctl: Callable[[], list[str]], tmp_path: Path
) -> None:
    unit = tmp_path / ".config" / "systemd" / "user" / "codex-proxy.service"
    code, _, err = await piped(environ, "", "service", "status", "--user")
    assert (code, "service install" in err) == (3, True)
    code, out, err = await piped(environ, "", "service", "install", "--user")
    assert (code, err) == (0, "")
    assert "journalctl --user -u codex-proxy -f" in out
    assert f"ExecStart={shutil.which('codex-proxy', path=environ['PATH'])} serve\n" in unit.read_text()
    assert "Environment=PATH=" in unit.read_text()
    assert (await piped(environ, "", "service", "status", "--user"))[0] == 0
    code, out, _ = await piped(environ, "", "service", "uninstall", "--user")
    assert (code, "are kept" in out, unit.exists()) == (0, True, False)
    assert systemctl() == [
        "--user daemon-reload",
        "--user enable codex-proxy.service",
        "--user restart codex-proxy.service",
        "--user status --no-pager codex-proxy.service",
        "--user disable --now codex-proxy.service",
        "--user daemon-reload",
    ]
    code, _, err = await piped(environ, "", "service", "uninstall", "--user")
    assert (code, "nothing to remove" in err) == (1, True)


async def test_without_a_systemd_of_the_user_it_says_what_to_do_and_leaves_nothing(
    environ: dict[str, str], systemctl: Callable[[], list[str]], tmp_path: Path
) -> None:
    unit = tmp_path / ".config" / "systemd" / "user" / "codex-proxy.service"
    assert (await piped(environ, "", "service", "install", "--user"))[0] == 0
    was = unit.read_text() + "# edited\n"
    unit.write_text(was)
    link = unit.parent / "default.target.wants" / unit.name
    link.parent.mkdir()
    link.symlink_to(unit)
    (tmp_path / "bin" / "systemctl").write_text("#!/bin/sh\necho 'Failed to connect to bus: No medium found' >&2; exit 1\n")
    code, _, err = await piped(environ, "", "service", "install", "--user")
    assert (code, "enable-linger" in err, unit.read_text()) == (1, True, was)
    code, out, err = await piped(environ, "", "service", "uninstall", "--user")
    assert (code, "Removed" in out, "could not be reached" in err) == (0, True, True)
    assert [unit.exists(), link.is_symlink()] == [False, False]
    assert (await piped(environ, "", "service", "install", "--user"))[0] == 1
    assert not unit.exists()


def test_the_packaged_units_are_those_of_the_repository() -> None:
    assert (_UNITS / "codex-proxy.service").read_text() == (ROOT / "systemd" / "codex-proxy.service").read_text()
    assert (_UNITS / "codex-proxy.user.service").read_text() == (ROOT / "docs/examples/codex-proxy.user.service").read_text()


@pytest.mark.parametrize("system", [True, False])
def test_systemd_takes_what_is_written(system: bool, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    program = tmp_path / "a place" / "codex-proxy"
    program.parent.mkdir()
    shutil.copy("/bin/true", program)
    unit = tmp_path / "codex-proxy.service"
    unit.write_text(unit_text(Scope(system), program))
    scope = [] if system else ["--user"]
    done = subprocess.run(["systemd-analyze", *scope, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "codex-proxy.service" not in done.stderr, done.stderr
