"""Whether Codex's sandbox works on this machine: a command that tries to write, outside of any turn."""

import secrets
from pathlib import Path

from codex_proxy.codex import wire
from codex_proxy.codex.connection import Connection
from codex_proxy.errors import WorkerFailed

_WORD = "ran"
_LIMIT = 5.0  # seconds for the command


async def trouble(connection: Connection, cwd: Path) -> str | None:
    """What is wrong with it; None when a command ran in it and could not write."""
    probe = cwd / f".codex-proxy-probe-{secrets.token_hex(4)}"
    command = ["sh", "-c", f'echo {_WORD}; : > "$0"', str(probe)]
    policy = {"type": "readOnly"}
    params = {"command": command, "cwd": str(cwd), "sandboxPolicy": policy, "timeoutMs": int(_LIMIT * 1000)}
    try:
        done = await connection.request("command/exec", params, wire.CommandRun, 2 * _LIMIT)
        if done.stdout.strip() != _WORD:
            return "a command did not run: " + (done.stderr.strip() or f"exit code {done.exit_code}")[-300:]
        return "a command could write although it may only read" if probe.exists() else None
    except WorkerFailed as error:
        return f"{error} {error.detail}"
    finally:
        probe.unlink(missing_ok=True)
