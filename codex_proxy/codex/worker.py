"""Our side of one app-server process, which runs one Turn at a time as a stream of TurnEvents.

`opening.py` chooses the thread for a turn. The process is never trusted: every request to it has a deadline, and what it sends is
validated. The deadline of the whole turn is up to the caller, who stops the worker by leaving `started`.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from typing import Any

import msgspec

from codex_proxy.catalog import Facts
from codex_proxy.codex import command, facts, home, methods, sandbox, scripts, surroundings, trace, wire_facts
from codex_proxy.codex.command import Command
from codex_proxy.codex.connection import PROMPT_TIMEOUT, Connection
from codex_proxy.codex.exchange import Exchange
from codex_proxy.codex.handshake import shake_hands
from codex_proxy.codex.open_threads import OpenThread, OpenThreads
from codex_proxy.codex.opening import Opener, Opening, check_workspace
from codex_proxy.codex.process import CodexProcess
from codex_proxy.codex.quota import Quota
from codex_proxy.codex.recipes import Recipes
from codex_proxy.codex.thread import Recipe
from codex_proxy.errors import ContextTooLong, InvalidRequest, WorkerFailed, WorkspaceUnusable
from codex_proxy.settings import Settings
from codex_proxy.turns import Mode, Trace, Turn, TurnCompleted, TurnEvent
from codex_proxy.whole_file import Version

_log = logging.getLogger(__name__)

START_TIMEOUT = 60.0  # seconds from spawn to the end of the handshake, and from there to the first prepared thread
_MEMORY_CHECKED_EVERY = 10  # turns
_LIFE_TIMEOUT = 5.0  # seconds for an answer that takes about a millisecond
_IDLE = 1.0  # seconds without a line, after which a process must prove that it is alive before it gets a turn
_WITH_LIMITS = "chatgpt"  # the account type with rate limits that can be read
_LOOKS, _BETWEEN_LOOKS = 50, 0.005  # seconds; the wait for the processes of an ended command to be gone


class Worker:
    """A running CLI for turns of one mode. `spent`: it must not run another turn; `ending`: this turn is its last."""

    def __init__(
        self,
        process: CodexProcess,
        connection: Connection,
        settings: Settings,
        mode: Mode,
        found: Facts,
        login: tuple[Version | None, ...],
        threads: OpenThreads,
        quota: Quota,
    ) -> None:
        self.mode = mode
        self.facts = found
        self.gone = process.gone
        self.spent = False
        self.ending = False
        self._left_something = False  # whether the latest turn left processes behind, or may have changed the CLI itself
        self._login = login
        self._process = process
        self._connection = connection
        self._settings = settings
        self._home = home.codex_home(settings)
        self._recipes = Recipes(settings, mode, found, process.programs())
        self.trace: Trace | None = None  # of the turn that has just ended, for the one that continues its conversation
        self._threads = threads
        self._quota = quota
        connection.hears[methods.LIMITS] = quota.hear
        self.opener = Opener(connection, settings, threads)
        self._last: Recipe | None = None
        self._hosts: frozenset[int] = frozenset()  # pids of the processes for scripts
        self._turns = 0
        self._exchange: Exchange | None = None  # of the running turn
        self._begun = self._broken_off = self._large = False  # what became of the latest turn

    def __repr__(self) -> str:
        state = "gone" if self.gone.is_set() else "spent" if self.spent else "idle"
        return f"<Worker [{self.pid}] {self.mode}, {state}, {self._turns} turns>"

    @classmethod
    @asynccontextmanager
    async def started(
        cls,
        cli: Command,
        settings: Settings,
        starting: asyncio.Lock,
        threads: OpenThreads,
        mode: Mode,
        timeout: float = START_TIMEOUT,
        proof: sandbox.Proof | None = None,
        quota: Quota | None = None,
    ) -> AsyncIterator["Worker"]:
        """Start a process and prepare it for a turn with the default model. Raises WorkerFailed.

        `threads` are shared by all workers. `starting` is held during the handshake, because two concurrent first starts in a
        fresh CODEX_HOME break each other (0.163.0). With a `proof`, a worker in agent mode starts only where the sandbox works.
        `quota` receives what the CLI reports about the account's limits.
        """
        environ = command.environment(settings)
        login = home.login_versions(settings)  # before the process can read the files
        async with AsyncExitStack() as stack:
            after = stack.enter_context(ExitStack())  # left once the process has ended
            async with starting:
                argv, directory = cli.argv(mode, local_only=settings.local_only), str(home.codex_home(settings))
                process = await stack.enter_async_context(
                    CodexProcess.started(argv, environ, directory, may_gain=settings.allow_danger)
                )
                connection = Connection(process)
                stack.push_async_callback(threads.close_all, connection, after)
                await shake_hands(connection, timeout)
            try:
                async with asyncio.timeout(timeout):
                    found = await facts.ask(connection, settings, cli.models)
                    worker = cls(process, connection, settings, mode, found, login, threads, quota or Quota())
                    if proof is not None and mode == "agent":
                        await proof.renew(connection, worker._home)
                    await worker.prepare()
            except TimeoutError as error:
                raise WorkerFailed("The Codex CLI did not become ready in time.", detail=process.last_words) from error
            _log.debug("codex [%s] started, mode %s", process.pid, mode)
            yield worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def outdated(self) -> bool:
        """Whether the login or the configuration has changed since the process started."""
        return home.login_versions(self._settings) != self._login

    @property
    def begun(self) -> bool:
        """Whether Codex has accepted the latest turn."""
        return self._begun if self._exchange is None else self._exchange.begun

    @property
    def unprepared(self) -> bool:
        return self.opener.unprepared

    @property
    def unknown(self) -> Counter[str]:
        """Unknown methods that the CLI has sent, and how often."""
        return self._connection.unknown

    @property
    def why_spent(self) -> str:
        """Why a spent worker is spent: a label for the metrics."""
        if self._left_something:
            return "left_something"
        if self._broken_off:
            return "broken_off"
        if self._turns >= self._settings.worker_max_turns:
            return "turn_limit"
        if self.outdated:
            return "login_changed"
        return "memory_limit" if self._large else "no_thread"

    async def prepare(self) -> None:
        """Start the next thread in advance, with the recipe of the last turn. Raises WorkerFailed, which leaves it spent."""
        if self._settings.local_only and not self.facts.provider_local:
            return  # no turn is accepted, and nothing may be sent to the provider
        recipe = self._last or self._recipes.default()
        self.spent = True
        with contextlib.suppress(WorkspaceUnusable):  # other workspaces may still be usable
            await self.opener.prepare(recipe)
        self.spent = False

    async def run(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Run a turn and yield its events, ending with TurnCompleted or TurnFailed. Raises WorkerFailed when the process breaks.

        If `begun` is still false then, the turn may be run on another worker. Anything that ends this generator early leaves the
        worker spent.
        """
        self._begun = self._broken_off = False
        if turn.mode == "agent":
            check_workspace(turn.cwd)
        if turn.keep == "disk" and not home.has_room(self._home):  # Codex would refuse the history, or lose new items
            turn = msgspec.structs.replace(turn, keep="memory", record=True)
        self._turns += 1
        self.spent = True  # until the turn has ended normally
        unguarded = turn.sandbox == "danger-full-access"  # its commands can tamper with the process itself
        self.ending = unguarded or self._turns >= self._settings.worker_max_turns
        recipe = self._recipes.of(turn)
        try:
            await self._wake()
            opening = await self.opener.open(turn, recipe)
            before = self._process.below()
            with self._threads.in_use(opening.thread, kept=turn.keep != "nowhere"):
                async with aclosing(self._events(turn, recipe, opening)) as events:
                    async for event in events:
                        yield event
                await self._look_back(opening.thread, before, unguarded=unguarded)
        except (InvalidRequest, ContextTooLong):  # the client's content is refused: by Codex, which is unchanged, or by us
            ran = self._exchange is not None and self._exchange.ran_something  # then the process is not looked at any more
            ended = self._exchange is None or (not ran and await self._exchange.wound_up())
            self.spent = not ended or self.ending or self._too_large()
            raise
        finally:
            if self._exchange is not None:
                self._begun, self._broken_off = self._exchange.begun, not self._exchange.clean
            self._exchange = self.trace = None  # they hold the whole conversation
        self._last = recipe

    async def _events(self, turn: Turn, recipe: Recipe, opening: Opening) -> AsyncGenerator[TurnEvent, None]:
        thread, told = opening.thread, surroundings.told(turn, opening, recipe.view, self.facts.document_names)
        exchange = self._exchange = Exchange(self._connection, told, opening, turn)
        async with aclosing(exchange.events()) as events:
            async for event in events:
                if isinstance(event, TurnCompleted):
                    thread.totals = exchange.totals
                    self.trace = trace.left(told, exchange, thread, self._home)
                    thread.stands_at = self.trace.id if self.trace else None
                yield event

    async def _look_back(self, thread: OpenThread, before: frozenset[int], *, unguarded: bool) -> None:
        """Decide after a turn whether the process may run another one."""
        assert self._exchange is not None
        self._left_something = unguarded or (self._exchange.ran_something and not await self._cleaned(thread, before))
        self.spent = not self._exchange.clean or self.ending or self._left_something or self._too_large()

    async def _cleaned(self, thread: OpenThread, before: frozenset[int]) -> bool:
        """End what a turn's commands left running. False when a process or a script remains: then the worker must be replaced."""
        assert self._exchange is not None
        ran = self._exchange.scripts
        await self._connection.request("thread/backgroundTerminals/clean", {"threadId": thread.id}, Any, PROMPT_TIMEOUT)
        for _ in range(_LOOKS if ran.over else 0):
            left = (now := self._process.below()) - before
            if scripts.hosts(self._hosts, before) != self._hosts:
                return False  # one has ended, and with it the values of other conversations
            if now and left == (hosts := scripts.hosts(left, before)):
                self._hosts |= hosts
                return True
            await asyncio.sleep(_BETWEEN_LOOKS)
        return False

    async def interrupt(self) -> None:
        """End the running turn early; `run` still yields its end. Callable from any task, and more than once."""
        if self._exchange is not None:
            await self._exchange.interrupt()

    async def lives(self) -> bool:
        """Whether the process answers; if not, the worker is spent. Call it only while the worker is idle."""
        try:
            await self._connection.request("account/read", {}, wire_facts.Account, _LIFE_TIMEOUT)
            if self.facts.account == _WITH_LIMITS and not self._settings.local_only and self._quota.due(time.monotonic()):
                await self._connection.post("account/rateLimits/read", {}, self._quota.hear)
        except WorkerFailed as error:
            _log.info("replacing an idle worker that does not answer: %s %s", error, error.detail)
            self.spent = True
            return False
        return True

    async def _wake(self) -> None:
        """Make sure that an idle process has not been stopped; otherwise a turn would wait 30 s for its thread to start."""
        if self._connection.idle_for > _IDLE:  # account/read takes three times as long, and may ask ChatGPT
            await self._connection.request("thread/loaded/list", {"limit": 1}, Any, _LIFE_TIMEOUT)

    async def sandbox_trouble(self) -> str | None:
        """What is wrong with Codex's sandbox on this machine; None when it works."""
        return await sandbox.trouble(self._connection, self._home)

    def _too_large(self) -> bool:
        """Whether it takes too much memory, as far as that is looked at after this turn."""
        ran_scripts = self._exchange is not None and self._exchange.scripts.ran  # they can keep as much as they like
        due = ran_scripts or self._turns % _MEMORY_CHECKED_EVERY == 0
        self._large = due and self._process.memory_mb() > self._settings.worker_max_mb
        return self._large
