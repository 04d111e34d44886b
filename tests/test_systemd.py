"""Word to systemd and the sockets that it passes; the units, as systemd's own tools judge them."""

import asyncio
import configparser
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codex_proxy.settings import Settings
from codex_proxy.systemd import Systemd, passed_sockets
from codex_proxy.web.serving import STOP_LIMIT
from tests.support.notify_socket import NotifySocket

_UNITS = Path(__file__).parent.parent / "systemd"
_SERVICES = ("codex-proxy.service", "codex-proxy@.service")
_OF_AN_INSTANCE = ("User", "EnvironmentFile", "StateDirectory", "WorkingDirectory", "Environment")
_HIGHEST_EXPOSURE = 3.0
_LIMIT = 5.0  # seconds


@pytest.fixture(params=["path", "abstract"])
async def notify(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NotifySocket]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@codex-proxy-test-{uuid.uuid4().hex}"
    async with asyncio.timeout(_LIMIT), NotifySocket.opened(address) as opened:
        yield opened


async def test_a_life_is_told_in_order(notify: NotifySocket) -> None:
    service = Systemd({"NOTIFY_SOCKET": notify.address})
    service.ready()
    with service.reloading():
        [ready, reloading] = await notify.up_to("RELOADING=1")
    service.stopping(90.5)
    [again, stopping] = await notify.up_to("STOPPING=1")
    assert (ready, again, stopping) == ("READY=1", "READY=1", "STOPPING=1\nEXTEND_TIMEOUT_USEC=90500000")
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)


async def test_a_reload_that_fails_is_over_all_the_same(notify: NotifySocket) -> None:
    service = Systemd({"NOTIFY_SOCKET": notify.address})
    service.ready()
    with pytest.raises(OSError, match="unreadable"), service.reloading():
        raise OSError("unreadable")
    assert (await notify.up_to("RELOADING"), await notify.up_to("READY"))[1] == ["READY=1"]


async def test_a_reload_before_the_first_ready_says_nothing(notify: NotifySocket) -> None:
    service = Systemd({"NOTIFY_SOCKET": notify.address})
    with service.reloading():
        pass
    service.stopping(0)
    assert len(await notify.up_to("STOPPING")) == 1


async def test_the_watchdog_is_fed_and_a_status_told_when_it_changes_until_something_hangs(notify: NotifySocket) -> None:
    status, trouble = "idle", ""
    service = Systemd({"NOTIFY_SOCKET": notify.address, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())})
    async with asyncio.TaskGroup() as group:
        reporting = group.create_task(service.report(lambda: status, lambda: trouble or None))
        assert await notify.up_to("STATUS") == ["WATCHDOG=1", "STATUS=idle"]
        for _ in range(3):
            assert await notify.up_to("") == ["WATCHDOG=1"]
        status = "busy"
        await notify.up_to("STATUS=busy")
        trouble = "it hangs"
        await notify.up_to("STATUS=it hangs")
        await asyncio.sleep(0.05)  # time for two more, if they came
        assert notify.rest() == []
        reporting.cancel()


async def test_a_watchdog_of_another_process_is_not_fed(notify: NotifySocket) -> None:
    service = Systemd({"NOTIFY_SOCKET": notify.address, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"})
    async with asyncio.TaskGroup() as group:
        reporting = group.create_task(service.report(lambda: "idle", lambda: None))
        assert await notify.up_to("STATUS") == ["STATUS=idle"]
        reporting.cancel()


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens-here", "vsock:2:1", "/" + "x" * 200, "@", "a\0b"])
async def test_a_systemd_that_cannot_be_told_does_no_harm(address: str) -> None:
    service = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "soon"})
    service.ready()
    service.stopping(1)


def test_sockets_of_another_process_are_not_ours() -> None:
    assert passed_sockets({}) == []
    assert passed_sockets({"LISTEN_FDS": "1"}) == []
    assert passed_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == []


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "1000000000000"])
def test_a_number_of_sockets_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="LISTEN_FDS"):
        passed_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": given})


def test_lines_for_the_journal_say_their_priority() -> None:
    script = """if True:
        import logging, os, sys
        from codex_proxy import logs, systemd
        stderr = os.fstat(2)
        environ = {"JOURNAL_STREAM": f"{stderr.st_dev}:{stderr.st_ino + int(sys.argv[1])}"}
        logs.set_up("debug", sys.argv[2], under_systemd=True, to_journal=systemd.reads_stderr(environ))
        logging.debug("a"), logging.info("b"), logging.warning("c"), logging.error("d\\ne")
    """

    def priorities(another_stream: int, log_format: str) -> list[str]:
        argv = [sys.executable, "-c", script, str(another_stream), log_format]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
        return [line[:3] for line in done.stderr.splitlines()]

    assert priorities(0, "text") == ["<7>", "<6>", "<4>", "<3>"]  # a line break in a message is escaped
    assert priorities(0, "json") == ["<7>", "<6>", "<4>", "<3>"]
    assert priorities(1, "json") == ['{"t'] * 4


def _analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze") or pytest.skip("systemd-analyze is not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for unit in _UNITS.iterdir():
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)  # ours is not there
        (tmp_path / unit.name).write_text(text)
    done = _analyze("verify", *sorted(tmp_path.iterdir()))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("service", _SERVICES)
def test_the_services_are_hardened_as_far_as_the_sandbox_of_codex_allows(service: str) -> None:
    done = _analyze("security", "--offline=true", f"--threshold={_HIGHEST_EXPOSURE * 10:.0f}", "--no-pager", _UNITS / service)
    assert done.returncode == 0, done.stdout + done.stderr
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure is not None
    assert float(exposure[1]) <= _HIGHEST_EXPOSURE


def test_an_instance_differs_from_the_one_service_only_in_whose_it_is() -> None:
    services = [_service(name) for name in _SERVICES]
    for service in services:
        assert float(service["TimeoutStopSec"]) >= Settings().drain_seconds + STOP_LIMIT
    one, instance = ({name: value for name, value in service.items() if name not in _OF_AN_INSTANCE} for service in services)
    assert one == instance
    assert all("%i" in services[1][name] for name in _OF_AN_INSTANCE)


def _service(name: str) -> dict[str, str]:
    unit = configparser.RawConfigParser()
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # as configparser's own documentation does
    unit.read(_UNITS / name)
    return dict(unit["Service"])


@pytest.mark.parametrize("unit", ["codex-proxy.service", "codex-proxy@.service"])
def test_a_command_that_takes_all_memory_costs_the_unit_no_restart(unit: str) -> None:
    lines = (Path(__file__).parents[1] / "systemd" / unit).read_text().splitlines()
    assert "OOMPolicy=continue" in lines
    assert {line.partition("=")[0] for line in lines} >= {"MemoryMax", "TasksMax"}
