"""WarmWorkers: the workers of one supervisor, one for each mode in use, successors started before they are needed.

Each worker lives in a task of its own, which starts it, keeps it and stops it; so a stop never keeps a turn waiting,
and leaving `opened` waits until every process is gone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from codex_proxy.codex.worker import Worker
from codex_proxy.errors import WorkerFailed
from codex_proxy.tasks import see_out, spawn
from codex_proxy.turns import Mode

StartWorker = Callable[[Mode], AbstractAsyncContextManager[Worker]]


class WarmWorkers:
    """For one user at a time: take, then give_back."""

    def __init__(self, start: StartWorker) -> None:
        self._start = start
        self._kept: dict[Mode, _Kept] = {}
        self._leaving: set[_Kept] = set()

    @classmethod
    @asynccontextmanager
    async def opened(cls, start: StartWorker) -> AsyncIterator["WarmWorkers"]:
        warm = cls(start)
        try:
            yield warm
        finally:
            for kept in [*warm._kept.values(), *warm._leaving]:
                kept.released.set()
            for kept in [*warm._kept.values(), *warm._leaving]:
                await kept.over()

    async def take(self, mode: Mode) -> Worker:
        """The warm worker of this mode; waits for its start where it is not. Raises WorkerFailed when that fails."""
        kept = self._kept.get(mode) or self._keep(mode)
        try:
            worker = await asyncio.shield(kept.worker)
        except WorkerFailed:
            self._let_go(mode)
            raise
        if worker.gone.is_set():  # it died while nobody looked
            self._let_go(mode)
            return await self.take(mode)
        return worker

    def at_hand(self, mode: Mode) -> Worker | None:
        """The worker of this mode, once it has started."""
        kept = self._kept.get(mode)
        return None if kept is None else kept.at_hand

    def start_successor(self, worker: Worker) -> None:
        """Begin to start the successor of a worker that will not be used again; it stays in use until given back."""
        if (kept := self._kept.get(worker.mode)) is not None and kept.holds(worker):
            self._leaving.add(kept)
            self._keep(worker.mode)

    def give_back(self, worker: Worker) -> None:
        """The user is done with it. A spent one is stopped, its successor started."""
        if worker.spent:
            self.start_successor(worker)
        for kept in [kept for kept in self._leaving if kept.holds(worker)]:
            kept.released.set()

    def discard(self, worker: Worker) -> None:
        """Not used again, for a reason that the worker does not know."""
        worker.spent = True
        self.give_back(worker)

    async def look_after(self) -> None:
        """Ask every idle worker whether it lives; one that does not answer is replaced."""
        for kept in list(self._kept.values()):
            if (worker := kept.at_hand) is not None and not worker.gone.is_set() and not await worker.lives():
                self.give_back(worker)

    async def stopped(self) -> None:
        """Wait until every worker that was given back for good has ended, and with it all that it did."""
        if tasks := [kept.task for kept in self._leaving if kept.released.is_set()]:
            await asyncio.wait(tasks)

    async def settle(self) -> None:
        """Have every worker start its next thread before it is needed; one that cannot is replaced."""
        for kept in list(self._kept.values()):
            if (worker := kept.at_hand) is not None and worker.unprepared:
                with contextlib.suppress(WorkerFailed):
                    await worker.prepare()
                self.give_back(worker)

    def _keep(self, mode: Mode) -> "_Kept":
        self._kept[mode] = kept = _Kept(self._start(mode), f"worker, {mode}")
        kept.task.add_done_callback(lambda _: self._leaving.discard(kept))
        return kept

    def _let_go(self, mode: Mode) -> None:
        kept = self._kept.pop(mode)
        if not kept.task.done():
            self._leaving.add(kept)
            kept.released.set()


class _Kept:
    """One worker and the task that it lives in."""

    def __init__(self, start: AbstractAsyncContextManager[Worker], name: str) -> None:
        self.worker: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self.released = asyncio.Event()
        self.task = spawn(name, self._live(start))

    @property
    def at_hand(self) -> Worker | None:
        """The worker, once it has started."""
        return self.worker.result() if self.worker.done() and self.worker.exception() is None else None

    def holds(self, worker: Worker) -> bool:
        return self.at_hand is worker

    async def over(self) -> None:
        """Wait until it is stopped; a start that is under way is broken off."""
        if not self.worker.done():
            await see_out(self.task)
        await asyncio.wait([self.task])

    async def _live(self, start: AbstractAsyncContextManager[Worker]) -> None:
        try:
            async with start as worker:
                self.worker.set_result(worker)
                await self.released.wait()
        except WorkerFailed as error:
            self._fail(error)
        finally:
            self._fail(WorkerFailed("The Codex CLI could not be started."))

    def _fail(self, error: WorkerFailed) -> None:
        if not self.worker.done():
            self.worker.set_exception(error)
            self.worker.exception()  # retrieved: nobody may be waiting for it
