"""The workers of one supervisor: one for each mode in use, with successors started in advance.

Each worker has its own task, which starts, holds and stops it, so stopping one never delays a turn. Leaving `opened` waits until
every process is gone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from codex_proxy.codex.worker import Worker
from codex_proxy.errors import ProxyError, WorkerFailed
from codex_proxy.tasks import see_out, spawn
from codex_proxy.turns import Mode

StartWorker = Callable[[Mode], AbstractAsyncContextManager[Worker]]


class WarmWorkers:
    """Keeps a worker of each mode ready, for one user at a time: `take` a worker, then `give_back`."""

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
        """The worker of this mode, after waiting for its start if necessary. Raises WorkerFailed when it cannot start."""
        kept = self._kept.get(mode) or self._keep(mode)
        try:
            worker = await asyncio.shield(kept.worker)
        except WorkerFailed:
            self._let_go(mode)
            raise
        if worker.gone.is_set():  # it died while idle
            self._let_go(mode)
            return await self.take(mode)
        return worker

    def at_hand(self, mode: Mode) -> Worker | None:
        """The worker of this mode; None until it has started."""
        kept = self._kept.get(mode)
        return None if kept is None else kept.at_hand

    def start_successor(self, worker: Worker) -> None:
        """Begin to start the successor of a worker that will not be used again; the worker stays in use until given back."""
        if (kept := self._kept.get(worker.mode)) is not None and kept.holds(worker):
            self._leaving.add(kept)
            self._keep(worker.mode)

    def give_back(self, worker: Worker) -> None:
        """Return a worker after use. A spent worker is stopped and its successor started."""
        if worker.spent:
            self.start_successor(worker)
        for kept in [kept for kept in self._leaving if kept.holds(worker)]:
            kept.released.set()

    def discard(self, worker: Worker) -> None:
        """Stop a worker for a reason that the worker does not know, and start its successor."""
        worker.spent = True
        self.give_back(worker)

    async def look_after(self) -> None:
        """Check that every idle worker is alive, and replace those that do not answer."""
        for kept in list(self._kept.values()):
            if (worker := kept.at_hand) is not None and not worker.gone.is_set() and not await worker.lives():
                self.give_back(worker)

    async def stopped(self) -> None:
        """Wait until every worker that was given back for good is stopped, including all its processes."""
        if tasks := [kept.task for kept in self._leaving if kept.released.is_set()]:
            await asyncio.wait(tasks)

    async def settle(self) -> None:
        """Have every worker start its next thread in advance, and replace those that cannot."""
        for kept in list(self._kept.values()):
            if (worker := kept.at_hand) is not None and worker.unprepared:
                with contextlib.suppress(ProxyError):  # whatever of the last turn's recipe Codex refuses now
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
    """One worker and the task that holds it."""

    def __init__(self, start: AbstractAsyncContextManager[Worker], name: str) -> None:
        self.worker: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self.released = asyncio.Event()
        self.task = spawn(name, self._live(start))

    @property
    def at_hand(self) -> Worker | None:
        """The worker; None until it has started."""
        return self.worker.result() if self.worker.done() and self.worker.exception() is None else None

    def holds(self, worker: Worker) -> bool:
        return self.at_hand is worker

    async def over(self) -> None:
        """Wait until the worker is stopped. A start in progress is cancelled."""
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
            self.worker.exception()  # mark it as retrieved: nobody may be waiting for it
