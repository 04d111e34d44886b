"""What becomes of rollouts that nobody has open any more. Time is virtual."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any, cast

import pytest

from codex_proxy.codex.connection import Connection
from codex_proxy.codex.handshake import CLIENT_NAME
from codex_proxy.codex.open_threads import OpenThread, OpenThreads
from codex_proxy.codex.thread import Recipe
from codex_proxy.threads.index import Threads
from codex_proxy.threads.upkeep import kept_up
from tests.support import virtual_time

MINUTE = 60.0


def rollout(home: Path, name: str, age: float, originator: str = CLIENT_NAME) -> Path:
    file = home / "sessions" / "2026" / "01" / "01" / f"rollout-{name}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'{{"type":"session_meta","payload":{{"originator":"{originator}"}}}}\n')
    age_by(file, age)
    return file


def age_by(file: Path, age: float) -> None:
    os.utime(file, (time.time() - age,) * 2)


def there(file: Path) -> bool:
    return file.exists()


@pytest.mark.parametrize(("lifetime", "old"), [(0.0, 61 * MINUTE), (MINUTE, 61 * MINUTE), (90 * MINUTE, 91 * MINUTE)])
def test_what_a_killed_server_has_left_goes_once_it_is_old_and_nothing_else(tmp_path: Path, lifetime: float, old: float) -> None:
    """Younger ones may be those of another server, which keeps conversations for longer; also where this one keeps none."""
    left, loaded = rollout(tmp_path, "left", old), rollout(tmp_path, "loaded", old)
    stays = [loaded, rollout(tmp_path, "younger", old - 2 * MINUTE), rollout(tmp_path, "users", old, "codex_cli")]
    threads = OpenThreads()
    unused = cast(Any, None)  # Any: nothing is asked of the process, nor of how the thread was started
    thread = OpenThread("1", loaded, cast(Recipe, unused), cast(Connection, unused))

    async def gone(file: Path) -> None:
        while there(file):
            await asyncio.sleep(MINUTE)

    async def main() -> None:
        with threads.in_use(thread, kept=True):
            async with kept_up(Threads(lifetime), threads, tmp_path, lifetime):
                await gone(left)
                assert all(map(there, stays))
                age_by(stays[1], old)
                await gone(stays[1])
                assert there(loaded)

    virtual_time.run(main())
