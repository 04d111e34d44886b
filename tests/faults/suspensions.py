"""A task factory that counts the suspensions of one coroutine, and cancels its task at a chosen one of them."""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any


class Suspensions:
    """Of the latest task that runs a coroutine function of this qualified name. `cancelled`: it got as far as it was to."""

    def __init__(self, of: str) -> None:
        self._of = of
        self._at = 0
        self.count = 0
        self.cancelled = False

    def cancel_at(self, number: int) -> None:
        """Cancel it at this suspension from now on, the first being 1; 0: only count."""
        self._at, self.count, self.cancelled = number, 0, False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the tasks of the running loop until the block ends."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(self._make)
        try:
            yield
        finally:
            loop.set_task_factory(None)

    def _make(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:  # Any: the loop's own
        if getattr(coroutine, "__qualname__", "") == self._of:
            coroutine = _driven(coroutine, self)
        return asyncio.Task(coroutine, loop=loop, **options)

    def note(self) -> None:
        """One more suspension of the task that runs now."""
        self.count += 1
        if self.count == self._at:
            self.cancelled = True
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # takes effect at the very suspension that is about to come


class _Noted(Awaitable[Any]):
    """Awaits a coroutine, and tells of each suspension before it happens."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], suspensions: Suspensions) -> None:
        self._coroutine = coroutine
        self._suspensions = suspensions

    def __await__(self) -> Generator[Any, Any, Any]:
        given: BaseException | None = None
        while True:
            try:
                waited_for = self._coroutine.send(None) if given is None else self._coroutine.throw(given)
            except StopIteration as over:
                return over.value
            self._suspensions.note()
            given = None
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001  # it is the coroutine's
                given = error


async def _driven(coroutine: Coroutine[Any, Any, Any], suspensions: Suspensions) -> Any:
    return await _Noted(coroutine, suspensions)
