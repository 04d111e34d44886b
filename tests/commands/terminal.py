"""A command in a real terminal: what it writes there as a person sees it, and the keys that somebody presses."""

import asyncio
import fcntl
import os
import pty
import shutil
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

LIMIT = 30.0  # seconds
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """The terminal of one command. `seen` is all that it wrote."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen = ""
        self._master = master
        self._more = asyncio.Event()
        self._checked = 0

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    async def shows(self, text: str) -> str:
        """Wait until this is written, after what was waited for before; what came since then, up to its end."""
        async with asyncio.timeout(LIMIT):
            while (at := self.seen.find(text, self._checked)) < 0:
                self._more.clear()
                await self._more.wait()
        since, self._checked = self.seen[self._checked : at + len(text)], at + len(text)
        return since

    async def ends(self) -> int:
        async with asyncio.timeout(LIMIT):
            return await self.process.wait()

    def read(self) -> None:
        try:
            self.seen += os.read(self._master, 65_536).decode(errors="replace")
        except OSError:  # the command has ended
            asyncio.get_running_loop().remove_reader(self._master)
        self._more.set()


def _own_terminal() -> None:
    """Make stdin the terminal whose Ctrl-C this process gets."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@asynccontextmanager
async def terminal(environ: Mapping[str, str], *arguments: str) -> AsyncIterator[Terminal]:
    """`codex-proxy` with these arguments, until the block ends."""
    program = shutil.which("codex-proxy", path=environ["PATH"])
    assert program is not None, "the package is not installed: run ./scripts/test"
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env={**environ, "TERM": "xterm"},
        cwd=environ["HOME"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=_own_terminal,
    )
    os.close(slave)
    found = Terminal(master, process)
    asyncio.get_running_loop().add_reader(master, found.read)
    try:
        yield found
    finally:
        asyncio.get_running_loop().remove_reader(master)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(master)


async def piped(environ: Mapping[str, str], given: str, *arguments: str) -> tuple[int | None, str, str]:
    """The same with pipes: exit code, stdout, stderr. `given` is its stdin."""
    program = shutil.which("codex-proxy", path=environ["PATH"])
    assert program is not None
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        program, *arguments, env=environ, cwd=environ["HOME"], stdin=pipe, stdout=pipe, stderr=pipe
    )
    async with asyncio.timeout(LIMIT):
        out, err = await process.communicate(given.encode())
    return process.returncode, out.decode(), err.decode()
