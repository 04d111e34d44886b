"""The only place that creates asyncio tasks: named, held until they end, and heard when they fail.

A task that fails unexpectedly is logged at once, whether or not it is awaited later.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_held: set[asyncio.Task[Any]] = set()


def spawn(name: str, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
    """Start a task. The caller owns it and ends it with `see_out`."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _held.add(task)
    task.add_done_callback(_release)
    return task


def _release(task: asyncio.Task[Any]) -> None:
    _held.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task %s failed: %s", task.get_name(), error, exc_info=error)


async def see_out(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended; its error has been logged, its result is dropped."""
    task.cancel()
    await asyncio.wait([task])


def running() -> list[str]:
    """The names of all tasks that were spawned and have not ended; for tests and diagnostics."""
    return sorted(task.get_name() for task in _held)
