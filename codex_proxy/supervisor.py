"""A fixed set of tasks, each of which takes one job at a time and handles it to the end.

A supervisor takes a job only when its worker is warm. Whatever happens to the worker, the job ends exactly once, which is why
turns have a broad except here. A supervisor that ends by itself is an error and ends the program.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from codex_proxy import logs
from codex_proxy.catalog import Facts
from codex_proxy.codex.warm import StartWorker, WarmWorkers
from codex_proxy.codex.worker import Worker
from codex_proxy.errors import InternalError, ProxyError, TurnTimeout, WorkerFailed
from codex_proxy.job import Job
from codex_proxy.jobs import JobQueue, shutting_down
from codex_proxy.settings import Settings
from codex_proxy.tasks import see_out, spawn
from codex_proxy.turns import Mode, Turn, TurnCompleted, TurnEnd, TurnFailed

_log = logging.getLogger(__name__)

_FIRST_BACKOFF, _LAST_BACKOFF = 0.1, 30.0  # seconds between failing starts
_LOGIN_CHECKED_EVERY = 2.0  # seconds, while no turn can run because the login is missing
_LOOKED_AFTER_EVERY = 15.0  # seconds between checks of an idle worker: a stopped or stuck one would only show at the next turn
_STEP_LIMIT = 300.0  # seconds for anything but a turn and the wait for one; starts of workers queue up
_INTERRUPTED_EVERY = 0.05  # seconds, until the end of the turn
_INTERRUPT_GRACE = 2.0  # seconds from turn/interrupt to the end of the turn, which usually takes 2 to 50 ms


class Supervisor:
    """A task with one warm worker for each mode in use, which runs one job at a time."""

    def __init__(self, jobs: JobQueue, start: StartWorker, settings: Settings) -> None:
        self.ready = asyncio.Event()
        self.running: Job | None = None
        self.facts: Facts | None = None
        self.trouble = ""  # why the latest start of its worker failed; safe to show to anyone
        self._jobs = jobs
        self._start = start
        self._default_mode: Mode = "chat" if settings.default_mode == "chat" else "agent"
        self._local_only = settings.local_only
        self._turn_timeout = settings.turn_timeout
        self._workers: WarmWorkers | None = None  # set once `run` has begun
        self._due = math.inf  # loop time by which the current step must have ended

    def __repr__(self) -> str:
        return f"<Supervisor {self.running or ('ready' if self.ready.is_set() else self.trouble or 'starting')}>"

    @property
    def busy(self) -> bool:
        return self.running is not None and not self.running.ended

    def holds(self, turn: Turn) -> bool:
        """Whether its worker has loaded the thread of the turn's conversation, in the state that the turn continues."""
        worker = None if self._workers is None else self._workers.at_hand(turn.mode)
        return worker is not None and worker.opener.holds(turn)

    @property
    def hangs(self) -> bool:
        """Whether it is long past every deadline of its current step. Never true while it waits for a job."""
        return asyncio.get_running_loop().time() > self._due

    async def run(self) -> None:
        """Take jobs until cancelled; a job running at that time ends with TurnFailed."""
        async with WarmWorkers.opened(self._start) as workers:
            self._workers = workers
            while True:
                await self._warm_up(workers)
                idle = await workers.take(self._default_mode)
                if (job := await self._next_job(idle)) is not None:
                    with logs.about(job.course.about):
                        await self._see_to_its_end(job, workers)
                    del job  # its trace may be large
                elif not self._serves(idle.facts) and idle.outdated:  # the login or configuration has changed
                    workers.discard(idle)
                else:
                    await workers.look_after()

    async def _warm_up(self, workers: WarmWorkers) -> None:
        """Wait until the worker of the default mode is warm, retrying failed starts without limit."""
        backoff = _FIRST_BACKOFF
        while True:
            self._expect_end_in(_STEP_LIMIT)
            try:
                self.facts = (await workers.take(self._default_mode)).facts
            except WorkerFailed as error:
                self.ready.clear()
                self.trouble = error.message
                _log.warning("Codex did not start: %s %s; next try in %g s", error, error.detail, backoff)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, _LAST_BACKOFF)
            else:
                self.trouble = ""
                self.ready.set()
                return

    async def _next_job(self, idle: Worker) -> Job | None:
        """The next job; None when the idle worker died during the wait, or is due for a check."""
        self._due = math.inf
        patience = _LOOKED_AFTER_EVERY if self._serves(idle.facts) else _LOGIN_CHECKED_EVERY
        taking = spawn("take a job", self._jobs.take(self))
        watching = spawn("watch an idle worker", idle.gone.wait())
        try:
            await asyncio.wait([taking, watching], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            await see_out(watching)
            await see_out(taking)
        except asyncio.CancelledError:
            await see_out(watching)
            await see_out(taking)
            if not taking.cancelled():  # a job was taken at the same moment
                taking.result().end(TurnFailed(shutting_down()))
            raise
        return None if taking.cancelled() else taking.result()

    async def _see_to_its_end(self, job: Job, workers: WarmWorkers) -> None:
        self.running = job
        self._expect_end_in(self._turn_timeout + _STEP_LIMIT)
        end: TurnEnd = TurnFailed(shutting_down())  # ignored if the job has already ended
        try:
            async with asyncio.timeout(self._turn_timeout) as limit:
                await self._run(job, workers, limit)
        except TimeoutError:
            end = self._out_of_time(job)
        except ProxyError as error:
            end = self._broken(job, error)
        except Exception:
            _log.exception("the turn failed because of a bug")
            end = TurnFailed(InternalError("Internal server error."))
        finally:
            job.end(end)
            self.running = None
        await workers.settle()

    async def _run(self, job: Job, workers: WarmWorkers, limit: asyncio.Timeout) -> None:
        """Run the job, and retry once on a fresh worker if the first one broke before Codex accepted the turn."""
        try:
            await self._run_once(job, workers, limit)
        except WorkerFailed as error:
            if job.begun or job.interrupted.is_set():
                raise
            _log.info("the turn had not started; trying again on a new worker: %s %s", error, error.detail)
            await workers.stopped()  # so that no work is repeated in case the turn had begun after all
            await self._run_once(job, workers, limit)

    async def _run_once(self, job: Job, workers: WarmWorkers, limit: asyncio.Timeout) -> None:
        worker = await workers.take(job.turn.mode)
        interrupter = spawn("interrupt a turn", _interrupt_when_asked(job, worker, limit))
        try:
            async with aclosing(worker.run(await job.whole_turn())) as events:
                async for event in events:
                    job.trace = worker.trace
                    await job.publish(event)
                    if worker.ending:
                        workers.start_successor(worker)
        finally:
            job.begun = job.begun or worker.begun
            workers.give_back(worker)  # first: what follows may be cancelled
            await see_out(interrupter)

    def _serves(self, facts: Facts) -> bool:
        """Whether a worker with these facts can run a turn."""
        return facts.usable and (facts.provider_local or not self._local_only)

    def _expect_end_in(self, seconds: float) -> None:
        self._due = asyncio.get_running_loop().time() + seconds

    def _broken(self, job: Job, error: ProxyError) -> TurnEnd:
        if job.interrupted.is_set() and isinstance(error, WorkerFailed):  # the turn should stop, and has
            _log.info("the worker failed when its turn was interrupted: %s %s", error, error.detail)
            return TurnCompleted(None, interrupted=True)
        return TurnFailed(error)

    def _out_of_time(self, job: Job) -> TurnEnd:
        if job.interrupted.is_set():  # the worker did not confirm the interrupt, and is stopped
            return TurnCompleted(None, interrupted=True)
        limit = f"{self._turn_timeout:g} s"
        if job.course.doing.kind == "retrying":
            message = f"The model provider failed and was asked again until the turn's limit of {limit} (CODEX_TIMEOUT)."
            return TurnFailed(TurnTimeout(message))
        return TurnFailed(TurnTimeout(f"The turn took longer than {limit} and was stopped."))


async def _interrupt_when_asked(job: Job, worker: Worker, limit: asyncio.Timeout) -> None:
    await job.interrupted.wait()
    grace_over = asyncio.get_running_loop().time() + _INTERRUPT_GRACE
    limit.reschedule(min(grace_over, limit.when() or grace_over))
    with contextlib.suppress(WorkerFailed):  # the reader of the worker's events gets this error too
        while True:  # its thread may still be being opened, or Codex not be at it yet
            await worker.interrupt()
            await asyncio.sleep(_INTERRUPTED_EVERY)


class Supervisors:
    """All supervisors, with their state for the front end: whether a turn can run now, and the CLI's facts."""

    def __init__(self, jobs: JobQueue, start: StartWorker, settings: Settings) -> None:
        self._all = [Supervisor(jobs, start, settings) for _ in range(settings.max_parallel)]
        self._jobs = jobs
        self._tasks: list[asyncio.Task[None]] = []
        self.failed = asyncio.Event()  # set when a supervisor ended by itself: the program must end

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Run the supervisors until the block ends; after that no job and no process is left."""
        for number, one in enumerate(self._all, 1):
            task = spawn(f"supervisor {number}", one.run())
            task.add_done_callback(self._note_end)
            self._tasks.append(task)
            self._jobs.takers.append(one)
        try:
            yield
        finally:
            self._jobs.close()
            await asyncio.gather(*(see_out(task) for task in self._tasks))

    @property
    def facts(self) -> Facts | None:
        """What the CLI reported when it last started; None before the first start."""
        return next((one.facts for one in self._all if one.facts is not None), None)

    @property
    def ready(self) -> bool:
        return any(one.ready.is_set() for one in self._all)

    @property
    def running(self) -> int:
        """Number of running turns."""
        return sum(one.running is not None for one in self._all)

    @property
    def hanging(self) -> bool:
        """Whether a supervisor has ended by itself or hangs, which only a restart of the server fixes."""
        return self.failed.is_set() or any(one.hangs for one in self._all)

    @property
    def trouble(self) -> str:
        """Why there is no worker, safe to show to anyone; empty while the first one is starting."""
        return next((one.trouble for one in self._all if one.trouble), "")

    async def wait_ready(self) -> None:
        """Wait until one supervisor has a warm worker. Has no time limit."""
        waits = [spawn("wait for a supervisor", one.ready.wait()) for one in self._all]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                await see_out(wait)

    async def drain(self, grace: float) -> None:
        """Accept no more jobs, end the waiting ones, and give the running ones `grace` seconds to end."""
        self._jobs.close()
        running = [one.running for one in self._all if one.running is not None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                for job in running:
                    await job.over.wait()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.failed.set()
