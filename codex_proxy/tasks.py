"""The only place that creates asyncio tasks, so that they are named, referenced until they end, and logged when they fail.

A failure is logged at once, whether or not the task is awaited later.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_held: set[asyncio.Task[Any]] = set()


def spawn(name: str, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
    """Start a task. The caller owns it and must end it with `see_out`."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _held.add(task)
    task.add_done_callback(_release)
    return task


def _release(task: asyncio.Task[Any]) -> None:
    _held.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task %s failed: %s", task.get_name(), error, exc_info=error)


async def see_out(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended. Its error, which has been logged, and its result are dropped."""
    task.cancel()
    await asyncio.wait([task])


async def run_unless(stop: asyncio.Event, coroutine: Coroutine[Any, Any, None]) -> None:
    """Run the coroutine to its end, or cancel it once `stop` is set."""
    ends = [spawn("what may be stopped", coroutine), spawn("a stop", stop.wait())]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ends:
            await see_out(task)


def running() -> list[str]:
    """Sorted names of the spawned tasks that have not ended, for tests and diagnostics."""
    return sorted(task.get_name() for task in _held)
