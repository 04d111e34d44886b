"""`codex-proxy doctor` on prepared machines: the right finding, its remedy and the exit code, in time."""

import asyncio
import json
import os
import shutil
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from codex_proxy.codex import command
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from tests.conftest import RunningCommand
from tests.support.machine import free_port

StartCommand = Callable[..., Awaitable[RunningCommand]]

_LIMIT = 10.0  # seconds: what doctor is given in all
_NO_NAMESPACES = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all -- "


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"PROXY_PORT": str(free_port())}


async def test_a_machine_where_all_is_well(environ: dict[str, str], home: Home, model: ModelServer) -> None:
    findings = await _examined(environ, home, expected=0)
    assert {finding["check"] for finding in findings} == {
        *("settings", "paths", "keys", "address", "files", "store", "codex", "login", "provider", "sandbox")
    }
    as_root = {"sandbox"} if command.trouble_as_root() else set()
    assert {finding["check"] for finding in findings if finding["status"] != "ok"} == as_root
    assert not model.requests  # it costs nothing
    assert os.listdir(home.workdir) == []


async def test_the_text_has_a_line_for_each_finding(environ: dict[str, str], home: Home) -> None:
    environ |= {"CODEX_PATH": "/nowhere/codex", "CODEX_WORKSPACES": "/nowhere"}
    code, text = await _run(environ, home, "doctor")
    assert code == 1
    [line] = [line for line in text.splitlines() if line.startswith("warning")]
    assert line.endswith("CODEX_WORKSPACES: /nowhere cannot be used: the directory does not exist. Create it, or correct the name.")
    [line] = [line for line in text.splitlines() if line.startswith("failed")]
    assert line.split()[1] == "codex"
    assert "Unset it, or name" in line


async def test_no_cli(environ: dict[str, str], home: Home) -> None:
    environ["CODEX_PATH"] = "/nowhere/codex"
    assert "CODEX_PATH=/nowhere/codex is not a program" in await _failure(environ, home, "codex")


async def test_an_old_cli(environ: dict[str, str], home: Home, tmp_path: Path) -> None:
    old = tmp_path / "codex"
    old.write_text("#!/bin/sh\necho codex-cli 0.46.0\n")
    old.chmod(0o755)
    environ["CODEX_PATH"] = str(old)
    assert "needs 0.147.0 or newer. Run: " in await _failure(environ, home, "codex")


async def test_a_cli_that_logs_prompts(environ: dict[str, str], home: Home, tmp_path: Path) -> None:
    old = tmp_path / "codex"
    old.write_text("#!/bin/sh\necho codex-cli 0.147.0\n")
    old.chmod(0o755)
    environ["CODEX_PATH"] = str(old)
    findings = {finding["check"]: finding for finding in await _examined(environ, home, expected=1)}  # it is none
    assert (findings["codex"]["status"], findings["codex"]["remedy"]) == ("warning", "Update it to 0.163.0 or newer.")


async def test_no_login(environ: dict[str, str], home: Home) -> None:
    config = home.codex_home / "config.toml"
    config.write_text(config.read_text() + "requires_openai_auth = true\n")
    assert "Run: codex-proxy login" in await _failure(environ, home, "login")


async def test_a_home_that_is_none(environ: dict[str, str], home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ["CODEX_CONFIG_DIR"] = str(tmp_path / "file")
    assert "Set CODEX_CONFIG_DIR to a directory that you own" in await _failure(environ, home, "paths")


async def test_a_home_that_may_not_be_read(environ: dict[str, str], home: Home) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    home.codex_home.chmod(0)
    assert "CODEX_CONFIG_DIR" in await _failure(environ, home, "paths")


async def test_a_workspace_that_cannot_be_made(environ: dict[str, str], home: Home) -> None:
    environ["CODEX_WORKDIR"] = "/proc/nowhere"
    assert "Set CODEX_WORKDIR to a directory that you own" in await _failure(environ, home, "paths")


async def test_a_port_that_is_taken(environ: dict[str, str], home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environ["PROXY_PORT"] = str(taken.getsockname()[1])
        assert "Another program listens on 127.0.0.1:" in await _failure(environ, home, "address")


async def test_a_bad_value(environ: dict[str, str], home: Home) -> None:
    environ["CODEX_SANDBOX_MODE"] = "none"
    assert "CODEX_SANDBOX_MODE='none' is not valid: allowed are read-only" in await _failure(environ, home, "settings")


async def test_a_provider_that_is_down(environ: dict[str, str], home: Home, model: ModelServer) -> None:
    config = home.codex_home / "config.toml"
    config.write_text(config.read_text().replace(model.base_url, f"http://127.0.0.1:{free_port()}/v1"))
    assert "Start it, or correct base_url" in await _failure(environ, home, "provider")


async def test_a_provider_elsewhere_on_a_local_only_server(environ: dict[str, str], home: Home, model: ModelServer) -> None:
    config = home.codex_home / "config.toml"
    config.write_text(config.read_text().replace(model.base_url, "https://models.example/v1"))
    environ["CODEX_LOCAL_ONLY"] = "1"
    assert "CODEX_LOCAL_ONLY" in await _failure(environ, home, "provider")


async def test_a_machine_without_a_sandbox(environ: dict[str, str], home: Home) -> None:
    wrapper = ("unshare", "--user", "--map-root-user", "sh", "-c", _NO_NAMESPACES + '"$@"', "sh")
    tried = await asyncio.create_subprocess_exec(*wrapper, "true", stderr=asyncio.subprocess.PIPE)
    _, why = await tried.communicate()
    if tried.returncode:
        pytest.skip(f"needs the right to make a user namespace: {why.decode().strip()}")
    findings = await _examined(environ, home, wrapper=wrapper, expected=1)
    assert [finding["check"] for finding in findings if finding["status"] == "failed"] == ["sandbox"]


async def test_a_store_that_cannot_be_opened(environ: dict[str, str], home: Home) -> None:
    environ["PROXY_STORE"] = "sqlite:///proc/nowhere/responses.sqlite"
    assert "Set PROXY_STORE" in await _failure(environ, home, "store")


async def test_a_bad_file_of_keys(environ: dict[str, str], home: Home) -> None:
    keys = home.root / "keys.toml"
    keys.write_text("[keys")
    keys.chmod(stat.S_IRUSR | stat.S_IWUSR)
    environ["PROXY_API_KEYS_FILE"] = str(keys)
    assert "is not a keys file" in await _failure(environ, home, "keys")


async def _failure(environ: dict[str, str], home: Home, check: str) -> str:
    """What the only check that fails says, with its remedy."""
    findings = await _examined(environ, home, expected=1)
    [failed] = [finding for finding in findings if finding["status"] == "failed"]
    assert failed["check"] == check
    return f"{failed['message']} {failed.get('remedy', '')}"


async def _examined(
    environ: dict[str, str], home: Home, *, wrapper: tuple[str, ...] = (), expected: int
) -> list[dict[str, Any]]:  # Any: JSON
    code, text = await _run(environ, home, "doctor", "--json", wrapper=wrapper)
    assert code == expected, text
    found: list[dict[str, Any]] = json.loads(text)
    return found


async def _run(environ: dict[str, str], home: Home, *arguments: str, wrapper: tuple[str, ...] = ()) -> tuple[int | None, str]:
    program = shutil.which("codex-proxy", path=environ["PATH"])
    assert program is not None, "the package is not installed: run ./scripts/test"
    process = await asyncio.create_subprocess_exec(
        *wrapper, program, *arguments, env=environ, cwd=home.root, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_LIMIT):
        text, _ = await process.communicate()
    return process.returncode, text.decode()


async def test_a_server_that_runs_already_is_known(environ: dict[str, str], home: Home, start_command: StartCommand) -> None:
    await start_command("--port", environ["PROXY_PORT"])
    findings = await _examined(environ, home, expected=0)
    [address] = [finding for finding in findings if finding["check"] == "address"]
    assert (address["status"], "codex-proxy 0.1.0 is running at" in address["message"]) == ("ok", True)


async def test_beside_a_demo_that_is_ready_a_missing_login_is_a_warning(
    environ: dict[str, str], home: Home, start_command: StartCommand
) -> None:
    (home.codex_home / "config.toml").write_text('model = "gpt-5.5"\n')  # whose provider wants a login
    await start_command("--demo", "--port", environ["PROXY_PORT"])
    findings = {finding["check"]: finding for finding in await _examined(environ, home, expected=0)}
    assert (findings["login"]["status"], findings["address"]["status"]) == ("warning", "ok")
    assert "The server that is running is ready all the same" in findings["login"]["message"]
    environ["PROXY_PORT"] = str(free_port())  # where none runs
    findings = {finding["check"]: finding for finding in await _examined(environ, home, expected=1)}
    assert findings["login"]["status"] == "failed"


async def test_too_few_files(environ: dict[str, str], home: Home) -> None:
    findings = await _examined(environ, home, wrapper=("prlimit", "--nofile=120:120"), expected=1)
    [files] = [finding for finding in findings if finding["check"] == "files"]
    assert "can have 120 files open, but needs 148 for 2 workers" in files["message"]


async def test_it_leaves_nothing_behind(environ: dict[str, str], home: Home, tmp_path: Path) -> None:
    mistyped = tmp_path / "a" / "mistyped"
    changes = {
        "CODEX_CONFIG_DIR": mistyped,
        "CODEX_WORKDIR": tmp_path / "work",
        "PROXY_STORE": f"sqlite://{tmp_path}/s/responses.sqlite",
    }
    findings = await _examined(environ | {name: str(value) for name, value in changes.items()}, home, expected=1)
    by_check = {finding["check"]: finding for finding in findings}
    assert by_check["paths"]["status"] == "warning"
    assert f"There is no {mistyped}" in by_check["paths"]["message"]
    assert by_check["login"]["status"] == "failed"  # of a home that is empty
    assert "created at startup" in by_check["store"]["message"]
    assert os.listdir(tmp_path) == []


async def test_what_a_failed_check_leaves_out_is_said_and_the_end_sums_up(environ: dict[str, str], home: Home) -> None:
    environ["CODEX_PATH"] = "/nowhere/codex"
    code, text = await _run(environ, home, "doctor")
    lines = text.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("skipped")] == ["login", "provider", "sandbox"]
    assert (code, lines[-1]) == (1, "1 problem: codex. Not checked: login, provider, sandbox.")
    del environ["CODEX_PATH"]
    code, text = await _run(environ, home, "doctor")
    as_root = " See the warnings: sandbox." if command.trouble_as_root() else ""
    assert (code, text.splitlines()[-1]) == (0, f"The server can run turns here.{as_root}")


async def test_a_store_is_looked_at_and_neither_made_nor_changed(environ: dict[str, str], home: Home, tmp_path: Path) -> None:
    file = tmp_path / "store" / "responses.sqlite"
    environ["PROXY_STORE"] = f"sqlite://{file}"
    await _examined(environ, home, expected=0)
    assert not file.parent.exists()
    file.parent.mkdir()
    for content in (b"", b"SQLite format 3\0" + bytes(84)):
        file.write_bytes(content)
        await _examined(environ, home, expected=0)
        assert (file.read_bytes(), os.listdir(file.parent)) == (content, [file.name])
    file.write_bytes(b"something else")
    assert "not a database" in await _failure(environ, home, "store")
    file.write_bytes(b"SQLite format 3\0" + bytes(44) + b"\0\0\3\xe7" + bytes(36))
    assert "has schema 999" in await _failure(environ, home, "store")


async def test_a_store_whose_library_is_not_installed(environ: dict[str, str], home: Home, tmp_path: Path) -> None:
    (tmp_path / "redis.py").write_text("raise ImportError('not here')\n")
    environ |= {"PYTHONPATH": str(tmp_path), "PROXY_STORE": "redis://127.0.0.1:1"}
    assert "pip install" in await _failure(environ, home, "store")
    code, _ = await _run(environ, home, "serve")
    assert code == 2
