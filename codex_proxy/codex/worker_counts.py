"""Counts of live workers, and of the reasons why others were replaced, for the metrics."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from codex_proxy.codex.warm import StartWorker
from codex_proxy.codex.worker import Worker
from codex_proxy.errors import WorkerFailed
from codex_proxy.turns import Mode


class WorkerCounts:
    """Counts workers, all of which must be started with `started`. `replaced` counts the reasons for replacing workers."""

    def __init__(self, start: StartWorker) -> None:
        self.replaced: Counter[str] = Counter()
        self._start = start
        self._starting = 0
        self._alive: set[Worker] = set()
        self._unknown: Counter[str] = Counter()  # from workers that are gone

    @asynccontextmanager
    async def started(self, mode: Mode) -> AsyncIterator[Worker]:
        """Start a worker like Worker.started, and count it."""
        async with AsyncExitStack() as stack:
            self._starting += 1
            try:
                worker = await stack.enter_async_context(self._start(mode))
            except WorkerFailed:
                self.replaced["start_failed"] += 1
                raise
            finally:
                self._starting -= 1
            self._alive.add(worker)
            try:
                yield worker
            finally:
                self._alive.remove(worker)
                self._unknown += worker.unknown
                if worker.gone.is_set():
                    self.replaced["died"] += 1
                elif worker.spent:
                    self.replaced[worker.why_spent] += 1

    @property
    def states(self) -> Counter[str]:
        """How many workers are starting, idle (ready for a turn) or busy (running a turn or stopping)."""
        busy = sum(worker.spent for worker in self._alive)
        return Counter(starting=self._starting, idle=len(self._alive) - busy, busy=busy)

    @property
    def unknown(self) -> Counter[str]:
        """Unknown methods that the CLI has sent to any worker, and how often."""
        return sum((worker.unknown for worker in self._alive), self._unknown)
