"""Worker: our side of one app-server process; it runs one Turn at a time, as a stream of TurnEvents.

Which thread a turn runs on is for `opening.py`. The process is never
believed: every request to it has a deadline, and what it sends is decoded. The deadline of the turn as a whole is its
caller's, who stops the worker by leaving `started`.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import msgspec

from codex_proxy.catalog import Facts
from codex_proxy.codex import command, documents, facts, home, methods, sandbox, surroundings, trace, wire_facts
from codex_proxy.codex.command import Command
from codex_proxy.codex.connection import PROMPT_TIMEOUT, Connection
from codex_proxy.codex.exchange import Exchange
from codex_proxy.codex.handshake import shake_hands
from codex_proxy.codex.open_threads import OpenThread, OpenThreads
from codex_proxy.codex.opening import Opener, Opening, check_workspace
from codex_proxy.codex.process import CodexProcess
from codex_proxy.codex.quota import Quota
from codex_proxy.codex.thread import Recipe
from codex_proxy.codex.view import View, Views
from codex_proxy.errors import ContextTooLong, InvalidRequest, WorkerFailed, WorkspaceUnusable
from codex_proxy.settings import Settings
from codex_proxy.turns import Mode, Trace, Turn, TurnCompleted, TurnEvent
from codex_proxy.whole_file import Version

_log = logging.getLogger(__name__)

START_TIMEOUT = 60.0  # seconds from spawn to the end of the handshake, and from there to the first waiting thread
_MEMORY_CHECKED_EVERY = 10  # turns
_LIFE_TIMEOUT = 5.0  # seconds for an answer that takes a millisecond
_IDLE = 1.0  # seconds without a line, after which a process is asked whether it lives before it gets a turn
_WITH_LIMITS = "chatgpt"  # an account that can be asked for its limits
_LOOKS, _BETWEEN_LOOKS = 50, 0.005  # seconds until the processes of a command that has ended are gone


class Worker:
    """A warm CLI of one mode. `spent`: it must not run another turn; `ending`: this turn is its last."""

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
        self._left_something = False  # the latest turn has
        self._login = login
        self._process = process
        self._connection = connection
        self._settings = settings
        self._home = home.codex_home(settings)
        self._views = Views(settings, process.programs())
        self.trace: Trace | None = None  # what the latest turn has left, for the turn that continues its conversation
        self._threads = threads
        self._quota = quota
        connection.hears[methods.LIMITS] = quota.hear
        self.opener = Opener(connection, settings, threads)
        self._last: Recipe | None = None
        self._turns = 0
        self._exchange: Exchange | None = None  # the latest

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
        """Start a process and make it ready for a turn of the default model. Raises WorkerFailed.

        `threads` are those of all workers; `starting` is held through the handshake: two first starts in a fresh
        CODEX_HOME break each other (0.163.0). With a `proof` a worker for commands starts only where the sandbox works. It
        tells `quota` what it hears of the account's limits.
        """
        environ = command.environment(settings)
        login = home.login_versions(settings)  # as it was before the process could read it
        async with AsyncExitStack() as stack:
            async with starting:
                process = await stack.enter_async_context(
                    CodexProcess.started(cli.argv(mode, local_only=settings.local_only), environ, str(home.codex_home(settings)))
                )
                connection = Connection(process)
                stack.push_async_callback(threads.close_all, connection)
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
        """Whether somebody has logged in or out, or changed the configuration, since the process started."""
        return home.login_versions(self._settings) != self._login

    @property
    def begun(self) -> bool:
        """Whether Codex has taken the latest turn."""
        return self._exchange is not None and self._exchange.begun

    @property
    def unprepared(self) -> bool:
        return self.opener.unprepared

    @property
    def unknown(self) -> Counter[str]:
        """Methods that the CLI used and we do not know, and how often."""
        return self._connection.unknown

    @property
    def why_spent(self) -> str:
        """Why a spent one is, in a word or two."""
        if self._left_something:
            return "left_something"
        if self._exchange is not None and not self._exchange.clean:
            return "broken_off"
        if self._turns >= self._settings.worker_max_turns:
            return "turn_limit"
        if self.outdated:
            return "login_changed"
        return "no_thread" if self.unprepared else "memory_limit"

    async def prepare(self) -> None:
        """Start the next thread before it is needed, by the recipe of the last turn. Raises WorkerFailed, and is spent then."""
        if self._settings.local_only and not self.facts.provider_local:
            return  # no turn is let in, and the provider is to hear nothing
        recipe = self._last or self._default_recipe()
        self.spent = True
        with contextlib.suppress(WorkspaceUnusable):  # no reason not to serve the others
            await self.opener.prepare(recipe)
        self.spent = False

    async def run(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """The turn's events, the last one a TurnCompleted or TurnFailed. Raises WorkerFailed when the process breaks.

        While `begun` is false then, the turn may be run on another worker. Whatever ends this generator early leaves the
        worker spent.
        """
        if turn.mode == "agent":
            check_workspace(turn.cwd)
        if turn.keep == "disk" and not home.has_room(self._home):  # Codex would refuse the history, or lose what comes
            turn = msgspec.structs.replace(turn, keep="memory", record=True)
        self._turns += 1
        self._exchange = self.trace = None  # those of the turn before
        self.spent = True  # until the turn has ended as it should
        unguarded = turn.sandbox == "danger-full-access"  # its commands can reach into the process itself
        self.ending = unguarded or self._turns >= self._settings.worker_max_turns
        recipe = self._recipe(turn)
        try:
            await self._wake()
            opening = await self.opener.open(turn, recipe)
            before = self._process.below()
            with self._threads.in_use(opening.thread, kept=turn.keep != "nowhere"):
                async with aclosing(self._events(turn, recipe, opening)) as events:
                    async for event in events:
                        yield event
                await self._look_back(opening.thread, before, unguarded=unguarded)
        except (InvalidRequest, ContextTooLong):  # Codex has refused what the client brought, and is as it was
            self.spent = self.ending or self._too_large()
            raise
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
        """Decide whether the process may run another turn after this one, which has ended."""
        assert self._exchange is not None
        ran, clean = self._exchange.ran_something, self._exchange.clean
        self._left_something = unguarded or (ran and not await self._cleaned(thread, before))
        self.spent = not clean or self.ending or self._left_something or self._too_large()

    async def _cleaned(self, thread: OpenThread, before: frozenset[int]) -> bool:
        """End what a turn's commands have left; False when something of it is still there, so that the process must go."""
        await self._connection.request("thread/backgroundTerminals/clean", {"threadId": thread.id}, Any, PROMPT_TIMEOUT)
        for _ in range(_LOOKS):
            if (now := self._process.below()) and now <= before:
                return True
            await asyncio.sleep(_BETWEEN_LOOKS)
        return False

    async def interrupt(self) -> None:
        """End the running turn early; `run` still tells its end. From any task; twice does no harm."""
        if self._exchange is not None:
            await self._exchange.interrupt()

    async def lives(self) -> bool:
        """Whether it answers; to be asked only while it is idle. One that does not is spent."""
        try:
            await self._connection.request("account/read", {}, wire_facts.Account, _LIFE_TIMEOUT)
        except WorkerFailed as error:
            _log.info("replacing an idle worker that does not answer: %s %s", error, error.detail)
            self.spent = True
            return False
        if self.facts.account == _WITH_LIMITS and not self._settings.local_only and self._quota.due(time.monotonic()):
            await self._connection.post("account/rateLimits/read", {}, self._quota.hear)
        return True

    async def _wake(self) -> None:
        """Find out in time whether a process that has been idle was stopped meanwhile: a thread may take 30 s to start."""
        if self._connection.idle_for > _IDLE:
            await self._connection.request("account/read", {}, wire_facts.Account, _LIFE_TIMEOUT)

    async def sandbox_trouble(self) -> str | None:
        """What is wrong with Codex's sandbox here; None when it works."""
        return await sandbox.trouble(self._connection, self._home)

    def _too_large(self) -> bool:
        return self._turns % _MEMORY_CHECKED_EVERY == 0 and self._process.memory_mb() > self._settings.worker_max_mb

    def _default_recipe(self) -> Recipe:
        settings = self._settings
        view = self._view(
            writes=settings.sandbox == "workspace-write", root=str(settings.workdir), network=settings.workspace_network
        )
        return self._recipe_for(self.facts.catalog.default, str(settings.workdir), view)

    def _recipe(self, turn: Turn) -> Recipe:
        view = self._view(writes=turn.sandbox == "workspace-write", root=turn.root, network=turn.network)
        recipe = self._recipe_for(turn.model, turn.cwd, view)
        return msgspec.structs.replace(
            recipe,
            web_search=turn.web_search,
            verbosity=turn.verbosity,
            raw_reasoning=turn.raw_reasoning,
            tools=turn.tools,
            on_disk=turn.keep == "disk",
        )

    def _view(self, *, writes: bool, root: str, network: bool) -> View:
        """What commands see; in chat mode there are none."""
        if self.mode == "chat":
            return View()
        return self._views.view(root=root if writes else None, network=writes and network)

    def _recipe_for(self, model: str, cwd: str, view: View) -> Recipe:
        return Recipe(
            model=model,
            mode=self.mode,
            cwd=cwd if self.mode == "agent" else str(self._home),  # which no chat looks at
            view=view,
            user_documents=documents.user_versions(self._home),
            web_search="configured" if self.mode == "agent" and self._settings.network_ceiling else "disabled",
            verbosity=None,
            raw_reasoning=False,
            tools=(),
            mcp_servers=self.facts.mcp_servers if self.mode == "chat" else (),
        )
