"""Worker: our side of one app-server process; it runs one Turn at a time, as a stream of TurnEvents.

It keeps one thread started ahead, because thread/start is more than half of the way to the first text. It is never
believed: every request to it has a deadline, and what it sends is decoded. The deadline of the turn as a whole is its
caller's, who stops the worker by leaving `started`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import msgspec

from codex_proxy import __version__
from codex_proxy.codex import command, documents, facts, home, wire
from codex_proxy.codex.command import Command
from codex_proxy.codex.connection import Connection
from codex_proxy.codex.exchange import Exchange
from codex_proxy.codex.facts import Facts
from codex_proxy.codex.process import CodexProcess
from codex_proxy.codex.thread import Recipe
from codex_proxy.errors import WorkerFailed
from codex_proxy.settings import Settings
from codex_proxy.turns import Mode, Turn, TurnEvent

_log = logging.getLogger(__name__)

START_TIMEOUT = 60.0  # seconds from spawn to the first waiting thread
_MEMORY_CHECKED_EVERY = 10  # turns

# Notifications that we never read: not sending them saves both sides the JSON.
_UNWANTED = (
    "thread/started",
    "thread/status/changed",
    "thread/settings/updated",
    "turn/started",
    "turn/diff/updated",
    "item/reasoning/summaryPartAdded",
    "item/commandExecution/terminalInteraction",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "account/rateLimits/updated",
    "remoteControl/status/changed",
    "mcpServer/startupStatus/updated",
)


class Worker:
    """A warm CLI of one mode. `spent`: it must not run another turn; `ending`: this turn is its last."""

    def __init__(self, process: CodexProcess, connection: Connection, settings: Settings, mode: Mode, found: Facts) -> None:
        self.mode = mode
        self.facts = found
        self.gone = process.gone
        self.spent = False
        self.ending = False
        self._login = home.login_stamp(settings)
        self._process = process
        self._connection = connection
        self._settings = settings
        self._home = home.codex_home(settings)
        self._waiting: tuple[Recipe, str] | None = None  # a thread that was started ahead
        self._last: Recipe | None = None
        self._turns = 0
        self._exchange: Exchange | None = None  # the latest

    @classmethod
    @asynccontextmanager
    async def started(cls, cli: Command, settings: Settings, starting: asyncio.Lock, mode: Mode) -> AsyncIterator["Worker"]:
        """Start a process and make it ready for a turn of the default model. Raises WorkerFailed.

        `starting` is held through the handshake: two first starts in a fresh CODEX_HOME break each other (0.163.0).
        """
        environ = command.environment(settings)
        async with AsyncExitStack() as stack:
            async with starting:
                process = await stack.enter_async_context(CodexProcess.started(cli.argv(mode), environ, str(settings.workdir)))
                connection = Connection(process)
                await _shake_hands(connection)
            worker = cls(process, connection, settings, mode, await facts.ask(connection, settings))
            _log.debug("codex [%s] started, mode %s", process.pid, mode)
            await worker.prepare()
            yield worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def outdated(self) -> bool:
        """Whether somebody has logged in or out, or changed the configuration, since the process started."""
        return home.login_stamp(self._settings) != self._login

    @property
    def unprepared(self) -> bool:
        return self._waiting is None

    async def prepare(self) -> None:
        """Start the next thread before it is needed, by the recipe of the last turn. Raises WorkerFailed, and is spent then."""
        recipe = self._last or self._default_recipe()
        self.spent = True
        self._waiting = (recipe, await self._start_thread(recipe))
        self.spent = False

    async def run(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """The turn's events, the last one a TurnCompleted or TurnFailed. Raises WorkerFailed when the process breaks.

        Whatever ends this generator early leaves the worker spent.
        """
        self._turns += 1
        self.spent = True  # until the turn has ended as it should
        self.ending = self._turns >= self._settings.worker_max_turns
        exchange = self._exchange = Exchange(self._connection, turn)
        recipe = self._recipe(turn)
        async with aclosing(exchange.events(await self._take_thread(recipe))) as events:
            async for event in events:
                self.ending = self.ending or exchange.ran_something
                yield event
        self._last = recipe
        self.spent = not exchange.clean or self.ending or self._too_large()

    async def interrupt(self) -> None:
        """End the running turn early; `run` still tells its end. From any task; twice does no harm."""
        if self._exchange is not None:
            await self._exchange.interrupt()

    def _too_large(self) -> bool:
        return self._turns % _MEMORY_CHECKED_EVERY == 0 and self._process.memory_mb() > self._settings.worker_max_mb

    async def _take_thread(self, recipe: Recipe) -> str:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting[0] == recipe:
            return waiting[1]
        return await self._start_thread(recipe)

    async def _start_thread(self, recipe: Recipe) -> str:
        started = await self._connection.request("thread/start", recipe.start_params(), wire.ThreadStarted)
        profile = started.active_permission_profile
        if recipe.mode == "agent" and (profile is None or profile.id != "proxy"):
            raise WorkerFailed("Codex did not take the permission profile.", detail=f"active: {profile}")
        return started.thread.id

    def _default_recipe(self) -> Recipe:
        return self._recipe_for(self.facts.catalog.default, str(self._settings.workdir))

    def _recipe(self, turn: Turn) -> Recipe:
        recipe = self._recipe_for(turn.model, turn.cwd)
        return msgspec.structs.replace(
            recipe,
            writable=turn.mode == "agent" and turn.sandbox == "workspace-write",
            web_search=turn.web_search,
            verbosity=turn.verbosity,
            raw_reasoning=turn.raw_reasoning,
            tools=turn.tools,
        )

    def _recipe_for(self, model: str, cwd: str) -> Recipe:
        return Recipe(
            model=model,
            mode=self.mode,
            cwd=cwd,
            writable=self.mode == "agent" and self._settings.sandbox == "workspace-write",
            denied=home.denied_paths(self._settings),
            documents=documents.look(Path(cwd), self._home, self.facts.document_names),
            web_search=False,
            verbosity=None,
            raw_reasoning=False,
            tools=(),
            mcp_servers=self.facts.mcp_servers if self.mode == "chat" else (),
        )


async def _shake_hands(connection: Connection) -> None:
    await connection.request(
        "initialize",
        {
            "clientInfo": {"name": "codex_proxy", "title": "codex-proxy", "version": __version__},
            "capabilities": {"experimentalApi": True, "optOutNotificationMethods": _UNWANTED},
        },
        dict,
        START_TIMEOUT,
    )
    await connection.notify("initialized")
