"""The units under a real systemd: Codex's sandbox works inside theirs; so do socket, reload, restart, watchdog and stop."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.e2e import small_system

_UNITS = Path(__file__).parents[2] / "systemd"
_FOR_A_TEST = f"""[Service]
ExecStart=
ExecStart={os.path.join(sys.prefix, "bin", "codex-proxy")} serve --demo
Environment=CODEX_SANDBOX_MODE=workspace-write
ProtectHome=tmpfs
BindReadOnlyPaths={" ".join(small_system.SEEN)}
WatchdogSec=2
TimeoutAbortSec=1
StandardError=append:/mnt/given/errors
StandardOutput=null
"""  # Python and the package may lie in somebody's home here
_SCRIPT = r"""
useradd --system --home-dir /var/lib/codex-proxy codex-proxy
ask() {  # SANDBOX COMMAND
    body='{"messages": [{"role": "user", "content": "Please run: `'$2'`"}], "x_codex": {"sandbox": "'$1'"}}'
    curl -sS --max-time 60 http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' -d "$body"
    echo
}
systemctl start codex-proxy.socket
ask read-only 'id -un; cat /proc/1/comm; touch a-file; touch /var/lib/codex-proxy/a-file'
ask workspace-write 'touch a-file && echo written; touch /var/lib/codex-proxy/a-file'
find /tmp /var/tmp /var/lib/codex-proxy -name a-file -printf 'made %p\n' || true
grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/$(systemctl show -P MainPID codex-proxy)/status
systemctl reload codex-proxy
systemctl restart codex-proxy
ask read-only 'echo after the restart'
kill -STOP $(systemctl show -P MainPID codex-proxy)
until [ $(systemctl show -P NRestarts codex-proxy) = 1 ]; do sleep 0.2; done
ask read-only 'echo after the watchdog'
systemctl stop codex-proxy.socket codex-proxy
systemctl show -P Result codex-proxy
cat /mnt/given/errors
"""


@pytest.mark.slow
def test_codex_runs_its_sandboxed_commands_inside_the_restrictions_of_the_unit(tmp_path: Path) -> None:
    units = {unit.name: unit.read_text() for unit in _UNITS.iterdir()}
    output = small_system.run(tmp_path, {**units, "codex-proxy.service.d/test.conf": _FOR_A_TEST}, _SCRIPT)
    assert output.endswith("+ echo done\ndone\n"), output
    first, second, third, fourth = re.findall(r'"content":"(.*?)"', output)
    assert "codex-proxy" in first, output
    assert "systemd" not in first  # /proc is the sandbox's own
    assert "cannot touch 'a-file': Read-only file system" in first, first
    assert "written" in second, second
    [made] = re.findall(r"^made (.*)", output, re.MULTILINE)  # elsewhere a command writes to memory at most
    assert re.fullmatch(r"/tmp/systemd-private-.*-codex-proxy\.service-.*/tmp/codex-proxy-demo-[^/]*/workspace/a-file", made)
    assert "after the restart" in third
    assert "after the watchdog" in fourth
    assert "Fatal Python error: Aborted" in output  # and where it hung
    assert re.search(r"CapBnd:\s0+\n.*NoNewPrivs:\s1\nSeccomp:\s2\n", output), output
    assert "\nsuccess\n" in output
