"""The interface to systemd: sockets that it passes on, and status messages to $NOTIFY_SOCKET.

Implements sd_listen_fds(3) and sd_notify(3) without a library. Nothing here has an effect unless systemd started the process, and
a failed message never ends the program.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_FIRST_SOCKET = 3  # SD_LISTEN_FDS_START
_MOST_SOCKETS = 64
_STATUS_EVERY = 2.0  # seconds


class Systemd:
    """Sends messages to the service manager named in the environment, if that was meant for this process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog = _watchdog_timeout(environ)
        self._ready = False

    def ready(self) -> None:
        """Report that the service is ready."""
        self._ready = True
        self._tell("READY=1")

    def stopping(self, longest: float) -> None:
        """Report that the service is stopping, which takes at most `longest` seconds."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={_microseconds(longest)}")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Report that the block reloads the configuration. Does nothing if the service is not ready yet."""
        if not self._ready:
            yield
            return
        self._tell("RELOADING=1", f"MONOTONIC_USEC={_microseconds(time.clock_gettime(time.CLOCK_MONOTONIC))}")
        try:
            yield
        finally:
            self._tell("READY=1")

    async def report(self, status: Callable[[], str], trouble: Callable[[], str | None]) -> None:
        """Until cancelled, report a changed status, and notify the watchdog while there is no `trouble`."""
        if not self._address:
            return
        pause = min(_STATUS_EVERY, self._watchdog / 2) if self._watchdog else _STATUS_EVERY
        told = None
        while True:
            wrong = trouble()
            if self._watchdog and not wrong:
                self._tell("WATCHDOG=1")
            if (now := wrong or status()) != told:
                self._tell(f"STATUS={now}")
                told = now
            await asyncio.sleep(pause)

    def _tell(self, *lines: str) -> None:
        """Send one datagram, which is dropped if systemd does not accept it at once."""
        if self._address:
            with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto("\n".join(lines).encode(), self._address)


def passed_sockets(environ: Mapping[str, str]) -> list[socket.socket]:
    """The IP or Unix sockets that systemd passes to this process. Raises ValueError when one does not accept connections."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    number = environ.get("LISTEN_FDS", "0")
    if not number.isdecimal() or int(number) > _MOST_SOCKETS:
        raise ValueError(f"LISTEN_FDS={number} is not a number of sockets")
    return [_listening(_FIRST_SOCKET + at) for at in range(int(number))]


def reads_stderr(environ: Mapping[str, str]) -> bool:
    """Whether journald reads our stderr directly, without a redirection (systemd.exec(5), $JOURNAL_STREAM)."""
    stderr = os.fstat(2)
    return environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def _listening(descriptor: int) -> socket.socket:
    try:
        passed = socket.socket(fileno=descriptor)
        accepts = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ValueError(f"file descriptor {descriptor} is not a socket") from error
    if not accepts or passed.type != socket.SOCK_STREAM:
        raise ValueError(f"file descriptor {descriptor} does not listen for connections; use ListenStream= and Accept=no")
    passed.set_inheritable(False)
    return passed


def _watchdog_timeout(environ: Mapping[str, str]) -> float | None:
    """Seconds within which systemd expects a watchdog message; None when it expects none from this process."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000 or None


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
