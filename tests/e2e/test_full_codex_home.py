"""A full disk under CODEX_HOME, with the real CLI (0.163.0): its logs are lost, turns run on, and workers can start."""

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path

from codex_proxy.demo.home import Home
from tests.conftest import ProxyStarter, children_of, ended
from tests.support.machine import small_disk_in


async def test_a_full_disk_under_codex_home_stops_no_turn_and_no_start(
    start_proxy: ProxyStarter, environ: dict[str, str], home: Home, tmp_path: Path
) -> None:
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    with small_disk_in(tmp_path, 64) as disk:
        shutil.copytree(home.codex_home, disk / "codex_home")
        environ["CODEX_CONFIG_DIR"] = str(disk / "codex_home")
        async with start_proxy() as proxy:
            assert (await proxy.chat(prompt="hi")).status == 200
            fill_up = await asyncio.create_subprocess_exec(
                "dd", "if=/dev/zero", f"of={disk / 'ballast'}", "bs=4k", stderr=subprocess.DEVNULL
            )
            await fill_up.wait()
            assert (await proxy.chat(prompt="hi")).status == 200
            [warden, *_] = children_of(os.getpid())
            os.kill(warden, signal.SIGKILL)
            await ended(warden)
            assert (await proxy.chat(prompt="hi")).status == 200  # on a worker that was started on the full disk
