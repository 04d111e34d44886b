"""What a process uses, as Linux tells it."""

import os
from pathlib import Path

import msgspec


class Use(msgspec.Struct, frozen=True):
    """Of one process, without its children."""

    memory_mb: float
    descriptors: int
    threads: int


def use_of(pid: int) -> Use:
    process = Path("/proc") / str(pid)
    pages = int((process / "statm").read_text().split()[1])
    return Use(
        memory_mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        descriptors=len(os.listdir(process / "fd")),
        threads=len(os.listdir(process / "task")),
    )


def disk_mb(directory: Path) -> dict[str, float]:
    """The size of what lies in a directory, by the first part of its path."""
    sizes: dict[str, float] = {}
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(directory).parts[0]
            sizes[name] = sizes.get(name, 0.0) + path.stat().st_size / 1e6
    return sizes
