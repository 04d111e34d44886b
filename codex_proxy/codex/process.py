"""One child process: its pipes and its shutdown. It knows lines, not what they mean.

Leaving `started` stops the child; after that nothing it started is alive (on Linux, see warden.py; elsewhere, no member of its
process group). Every wait for the child has a time limit, and the shutdown continues when its caller is cancelled.
"""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from codex_proxy.codex import descendants, orphans, warden
from codex_proxy.errors import WorkerFailed
from codex_proxy.tasks import see_out, spawn

MAX_LINE_BYTES = 32 * 1024 * 1024  # the longest line seen was 6.3 MB, for one command's output
_READ_AHEAD_BYTES = 65_536  # once twice as much is buffered, the child blocks until it is read
_EOF_GRACE = 0.5  # seconds for the child to exit after its stdin is closed; an idle CLI needs 10 ms
_TERM_GRACE = 0.5  # seconds after SIGTERM, which a stopped or busy child ignores
_END_ALL_GRACE = 1.0  # seconds for the warden to kill the child and all it started; it usually takes 20 ms
_KILL_GRACE = 5.0  # seconds after SIGKILL, which only the kernel can delay
_WRITE_TIMEOUT = 20.0  # seconds
_LAST_LINES_GRACE = 0.5  # seconds to read what the child wrote just before it exited
_STDERR_LINES = 20


class CodexProcess:
    """A running child process. Not safe for two concurrent readers or two concurrent writers."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: "_Protocol") -> None:
        self.gone = protocol.gone  # set once the child has exited or closed its output, even if others still hold its pipes
        self._exited = protocol.exited
        self._child = asyncio.subprocess.Process(transport, protocol, asyncio.get_running_loop())
        self._transport = transport
        self._unread = bytearray()  # from stdout: the start of the next line, maybe more
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self.hear_stderr: Callable[[str], None] = lambda _: None  # called with each line of stderr

    def __repr__(self) -> str:
        return f"<CodexProcess [{self.pid}] {'gone' if self.gone.is_set() else 'alive'}>"

    @classmethod
    @asynccontextmanager
    async def started(
        cls, argv: Sequence[str], environ: Mapping[str, str], cwd: str, *, may_gain: bool = False
    ) -> AsyncIterator["CodexProcess"]:
        """Start the child under a warden (for `may_gain` see there), in a session of its own.

        Raises WorkerFailed when it cannot be started.
        """
        loop = asyncio.get_running_loop()
        pipe = asyncio.subprocess.PIPE
        if not os.access(argv[0], os.X_OK):
            raise WorkerFailed("The Codex CLI could not be started.", detail=f"{argv[0]} is not a program")
        try:
            # Like asyncio.create_subprocess_exec, but keeps the transport: only it can close the pipes.
            with orphans.starting():
                transport, protocol = await loop.subprocess_exec(
                    lambda: _Protocol(limit=_READ_AHEAD_BYTES, loop=loop),
                    *warden.argv(argv, may_gain=may_gain),
                    stdin=pipe,
                    stdout=pipe,
                    stderr=pipe,
                    env=environ,
                    cwd=cwd,
                    start_new_session=True,
                )
                orphans.known(transport.get_pid())
        except OSError as error:
            raise WorkerFailed("The Codex CLI could not be started.", detail=f"{argv[0]}: {error}") from error
        process = cls(transport, protocol)
        pump = spawn(f"stderr of codex [{process.pid}]", process._pump_stderr())
        try:
            yield process
        finally:
            stopping = spawn(f"stop of codex [{process.pid}]", process._stop())
            try:
                await _finished(stopping)
            finally:
                await see_out(pump)

    @property
    def pid(self) -> int:
        """Pid of the child that we started: on Linux the warden, which leads the CLI's process group."""
        return self._child.pid

    @property
    def last_words(self) -> str:
        """The exit code, if the child has exited, and its last lines on stderr. For the log, never for a client."""
        end = "" if self._child.returncode is None else f" (exit {self._child.returncode})"
        return f"codex [{self.pid}]{end}: {' | '.join(self._stderr)}"

    async def read_line(self) -> bytes:
        """The next line of stdout, including its newline. Cancellation loses no output.

        Raises WorkerFailed at the end of output or past 32 MiB.
        """
        looked_at = 0
        while not (end := self._unread.find(b"\n", looked_at) + 1):
            looked_at = len(self._unread)
            if looked_at > MAX_LINE_BYTES:
                raise WorkerFailed("The Codex CLI sent a line of over 32 MiB.", detail=self.last_words)
            self._unread += await self._read_on()
        with memoryview(self._unread) as unread:
            line = bytes(unread[:end])  # only one copy: a line may be many megabytes
        del self._unread[:end]
        return line

    async def _read_on(self) -> bytes:
        assert self._child.stdout is not None
        try:
            chunk = await self._child.stdout.read(_READ_AHEAD_BYTES)
        except OSError as error:
            raise WorkerFailed("The output of the Codex CLI cannot be read.", detail=f"{error}; {self.last_words}") from error
        if not chunk:
            raise WorkerFailed("The Codex CLI exited in the middle of its work.", detail=self.last_words)
        return chunk

    async def write_line(self, line: bytes) -> None:
        """Write one JSON text and a newline. Raises WorkerFailed when the child does not accept it in time."""
        assert self._child.stdin is not None
        self._child.stdin.write(line)
        self._child.stdin.write(b"\n")
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT):
                await self._child.stdin.drain()
        except OSError as error:  # TimeoutError is one
            raise WorkerFailed("The Codex CLI closed its input.", detail=self.last_words) from error

    def memory_mb(self) -> int:
        """Resident memory of the CLI and its descendants in MB; 0 where the system does not list them (macOS)."""
        return descendants.memory(self.below()) // 1_000_000

    def below(self) -> frozenset[int]:
        """Pids of the CLI and its live descendants; empty where the system does not list them (macOS)."""
        return descendants.below(self.pid)

    def programs(self) -> set[str]:
        """Directories of the programs running under the warden: the CLI, and its launcher if it has one."""
        return {os.path.dirname(program) for program in _programs_below(self.pid)}

    async def _pump_stderr(self) -> None:
        assert self._child.stderr is not None
        while chunk := await self._child.stderr.read(65_536):
            lines = chunk.decode(errors="replace")[-4_000:].splitlines()[-_STDERR_LINES:]
            self._stderr.extend(lines)
            for line in lines:
                self.hear_stderr(line)

    async def _stop(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        if not await self._ended(_EOF_GRACE):
            self._signal(signal.SIGTERM)
            if not await self._ended(_TERM_GRACE):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, warden.END_ALL)
                    os.kill(self.pid, signal.SIGCONT)
                await self._ended(_END_ALL_GRACE)
        self._signal(signal.SIGKILL)  # the warden itself may have been killed or stopped
        await self._ended(_KILL_GRACE)
        await orphans.end(self.pid)
        self._transport.close()  # a grandchild in its own session may hold the other ends open

    async def _ended(self, grace: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._exited.wait()
        return self._exited.is_set()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Signals the child's exit at once, and closes its pipes soon after, even if others still hold them.

    On Python 3.11, Process.wait() also waits for pipes held by grandchildren, and so does a reader. The npm package of the CLI is
    such a case: its launcher is the child, and the actual program the grandchild.
    """

    def __init__(self, *, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=limit, loop=loop)
        self.exited = asyncio.Event()
        self.gone = asyncio.Event()
        self._pipes: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._pipes = transport

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()
        self.gone.set()
        asyncio.get_running_loop().call_later(_LAST_LINES_GRACE, self._let_go)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        super().pipe_connection_lost(fd, exc)
        if fd == 1:
            self.gone.set()

    def _let_go(self) -> None:
        if self._pipes is not None:
            self._pipes.close()


def _programs_below(pid: int) -> Iterator[str]:
    """Executables of all descendants; empty where the system does not list them (macOS)."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as children:
        for child in children.read().split():
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{child}/exe")
            yield from _programs_below(int(child))


async def _finished(task: asyncio.Task[None]) -> None:
    """Wait for a task to end even when cancelled meanwhile; the cancellation is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
