"""Pieces of this machine that tests borrow: a free port, a small disk, little memory."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clock_ahead(directory: Path, seconds: int) -> str:
    """A PYTHONPATH with which a program reads a wall clock that is so many seconds ahead; made in a directory."""
    skewed = f"import time\nnow, now_ns = time.time, time.time_ns\ntime.time = lambda: now() + {seconds}\n"
    (directory / "sitecustomize.py").write_text(skewed + f"time.time_ns = lambda: now_ns() + {seconds} * 10**9\n")
    return os.pathsep.join([str(directory), os.getcwd()])


@contextmanager
def little_memory(megabytes: int) -> Iterator[Path]:
    """A memory cgroup until the block ends; the test is skipped where none may be made. Write pids to its cgroup.procs."""
    old = Path("/sys/fs/cgroup/memory")
    group = (old if old.is_dir() else Path("/sys/fs/cgroup")) / f"codex-proxy-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if old.is_dir() else "memory.max")).write_text(str(megabytes << 20))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"needs the right to make a memory cgroup: {error}")
    try:
        yield group
    finally:
        while pids := (group / "cgroup.procs").read_text().split():  # those of a test that has failed
            for pid in pids:
                with contextlib.suppress(OSError):
                    (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()


@contextmanager
def small_disk_in(directory: Path, megabytes: int) -> Iterator[Path]:
    """A file system of so many MiB until the block ends; the test is skipped where it may not be mounted."""
    disk = directory / "disk"
    disk.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(disk)]
    mounted = subprocess.run(options, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        _unmount(disk)


def _unmount(disk: Path) -> None:
    """A process that has just been killed may still stand in it for a moment."""
    last = time.monotonic() + 10
    while subprocess.run(["umount", str(disk)], check=time.monotonic() > last, stderr=subprocess.DEVNULL).returncode:
        time.sleep(0.05)
