"""Check that Codex's sandbox works on this machine, with a command that tries to write, outside of any turn."""

import secrets
import time
from pathlib import Path

from codex_proxy.codex import wire
from codex_proxy.codex.connection import Connection
from codex_proxy.errors import WorkerFailed

_WORD = "ran"
_LIMIT = 5.0  # seconds for the command

_PROOF_HOLDS = 60.0  # seconds; a probe costs 50 ms of CPU, and workers may start often


class Proof:
    """Evidence that the sandbox works, shared by a server's workers and renewed by one that starts when it has expired."""

    def __init__(self) -> None:
        self._until = 0.0

    async def renew(self, connection: Connection, cwd: Path) -> None:
        """Probe the sandbox if the proof has expired. Raises WorkerFailed when commands cannot run, or can write when read-only."""
        if time.monotonic() < self._until:
            return
        if reason := await trouble(connection, cwd):
            raise WorkerFailed("Codex's sandbox does not work here, so no command can run. Run: codex-proxy doctor", detail=reason)
        self._until = time.monotonic() + _PROOF_HOLDS


async def trouble(connection: Connection, cwd: Path) -> str | None:
    """What is wrong with the sandbox; None when a command ran in it and could not write."""
    probe = cwd / f".codex-proxy-probe-{secrets.token_hex(4)}"
    command = ["sh", "-c", f'echo {_WORD}; : > "$0"', str(probe)]
    policy = {"type": "readOnly"}
    params = {"command": command, "cwd": str(cwd), "sandboxPolicy": policy, "timeoutMs": int(_LIMIT * 1000)}
    try:
        done = await connection.request("command/exec", params, wire.CommandRun, 2 * _LIMIT)
        if done.stdout.strip() != _WORD:
            return "a command did not run: " + (done.stderr.strip() or f"exit code {done.exit_code}")[-300:]
        return "a command could write in read-only mode" if probe.exists() else None
    except WorkerFailed as error:
        return f"{error} {error.detail}"
    finally:
        probe.unlink(missing_ok=True)
