"""Remove the rollouts that a killed server has left in Codex's home.

Others stay: those of the user's own CLI, and recent ones, which may belong to another server that uses the same home.
"""

import contextlib
import logging
import time
from collections.abc import Container, Iterator
from pathlib import Path

from codex_proxy import whole_file
from codex_proxy.codex.handshake import CLIENT_NAME

_log = logging.getLogger(__name__)

_HEAD = 4096  # bytes; the originator of a thread is near the beginning
_DAYS = 3  # the newest folders, which are searched
_OURS = f'"originator":"{CLIENT_NAME}"'.encode()


def remove_left(home: Path, older_than: float, loaded: Container[Path]) -> int:
    """Remove our rollouts that have not been written to for `older_than` seconds, except `loaded`. Returns their number."""
    removed = 0
    limit = time.time() - older_than
    for file in _rollouts(home / "sessions"):
        with contextlib.suppress(OSError):
            if file not in loaded and file.lstat().st_mtime < limit and _is_ours(file):
                file.unlink()
                removed += 1
    if removed:
        _log.info("removed %d conversations that an earlier server has left in Codex's home", removed)
    return removed


def _rollouts(sessions: Path) -> Iterator[Path]:
    days = sorted(sessions.glob("[0-9]*/[0-9]*/[0-9]*"), reverse=True)
    return (file for day in days[:_DAYS] for file in day.glob("rollout-*.jsonl"))


def _is_ours(file: Path) -> bool:
    with whole_file.opened(file) as stream:
        return _OURS in stream.read(_HEAD).replace(b'": "', b'":"')
