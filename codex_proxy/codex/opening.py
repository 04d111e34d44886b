"""Choose the thread for a turn: the one that is live in this worker, else the same one resumed from its trace, else a new one.

A new thread gets the whole conversation, including the recorded work of the agent where it is known. Any problem with a trace
falls back to a new thread, so a trace can only improve a turn.
"""

import asyncio
import contextlib
import logging
import os
import re
import time
import uuid
from itertools import takewhile
from pathlib import Path

import msgspec

from codex_proxy.codex import facts, home, notes, rollout, tools, wire
from codex_proxy.codex.connection import Brought, Connection
from codex_proxy.codex.open_threads import OpenThread, OpenThreads
from codex_proxy.codex.tail import Tail
from codex_proxy.codex.thread import PROFILE, Recipe, history_items
from codex_proxy.errors import InvalidRequest, WorkerFailed, WorkspaceUnusable
from codex_proxy.history import Answered, History, Verbatim
from codex_proxy.roots import why_unusable
from codex_proxy.settings import Settings
from codex_proxy.turns import Continuation, Trace, Turn

_log = logging.getLogger(__name__)

_PLACE = re.compile(r"sessions/\d{4}/\d\d/\d\d/rollout-[0-9T-]+-[0-9a-f-]{36}\.jsonl", re.ASCII)
_STILL_WRITTEN = "already has an active writer"
_TRIES, _BETWEEN_TRIES = 25, 0.01  # seconds; the lock is released some milliseconds after the file is gone


class Opening(msgspec.Struct, frozen=True):
    """A thread for a turn, and the part of the turn's history that the thread has not seen."""

    thread: OpenThread
    missing: tuple[History, ...]
    continuation: Continuation


class _InUse(WorkerFailed):
    """Another process has the thread loaded: one of another server on the same home, or one that is slow to end."""


class Opener:
    """Opens threads in one worker. One is started in advance: thread/start takes over half of the time to the first text."""

    def __init__(self, connection: Connection, settings: Settings, threads: OpenThreads) -> None:
        self._connection = connection
        self._home = home.codex_home(settings)
        self._local_only = settings.local_only
        self._threads = threads
        self._waiting: OpenThread | None = None

    @property
    def unprepared(self) -> bool:
        return self._waiting is None

    async def prepare(self, recipe: Recipe) -> None:
        """Start the next thread in advance. Raises WorkerFailed."""
        self._waiting = await self._started(recipe)
        await self._threads.close_surplus(self._connection)

    def holds(self, turn: Turn) -> bool:
        """Whether this worker has loaded the thread of the turn's conversation, in the state that the turn continues.

        True as soon as the end of the previous turn is reported, when the worker may still be busy with it.
        """
        if turn.trace is None or turn.trace.calls or (live := self._threads.get(turn.trace.thread)) is None:
            return False
        return live.connection is self._connection and live.stands_at == turn.trace.id

    async def open(self, turn: Turn, recipe: Recipe) -> Opening:
        """Get a thread for the turn. Raises WorkerFailed."""
        trace = turn.trace
        if trace is None:
            return Opening(await self._take(recipe), turn.history, "new")
        stale = notes.stale(turn)
        live = self._threads.get(trace.thread)
        if live is not None and self.holds(turn) and live.recipe == recipe and not stale:
            return Opening(live, turn.history[turn.covered :], "live")
        private = not recipe.on_disk  # a resumed thread writes to its rollout
        if trace.content and not private and not stale:
            try:
                return await self._resumed(turn, trace, recipe)
            except (WorkerFailed, OSError, msgspec.MsgspecError) as error:
                _log.warning("a conversation is rebuilt: %s %s", error, getattr(error, "detail", ""))
        return Opening(await self._take(recipe), _rebuilt(turn, trace), "rebuilt")

    async def _take(self, recipe: Recipe) -> OpenThread:
        waiting, self._waiting = self._waiting, None
        return waiting if waiting is not None and waiting.recipe == recipe else await self._started(recipe)

    async def _started(self, recipe: Recipe) -> OpenThread:
        brought = Brought("the tools", "tools") if recipe.tools else None
        params = recipe.start_params()
        try:
            started = await self._connection.request("thread/start", params, wire.ThreadStarted, brought=brought)
        except InvalidRequest as error:
            error.param = tools.place_of(error.message, recipe.tools)
            raise
        except WorkerFailed:
            check_workspace(recipe.cwd)
            raise
        await self._check(started, recipe)
        path = Path(started.thread.path) if recipe.on_disk and started.thread.path else None
        return OpenThread(started.thread.id, path, recipe, self._connection)

    async def _check(self, started: wire.ThreadStarted, recipe: Recipe) -> None:
        profile = started.active_permission_profile
        if recipe.mode == "agent" and (profile is None or profile.id != PROFILE):
            raise WorkerFailed("Codex did not apply the permission profile.", detail=f"active: {profile}")
        if self._local_only:
            await facts.check_local(self._connection, started.model_provider)

    async def _resumed(self, turn: Turn, trace: Trace, recipe: Recipe) -> Opening:
        if not _PLACE.fullmatch(trace.place) or not rollout.numbered(trace.content):
            raise WorkerFailed("This thread cannot be resumed.", detail=trace.place[:200])
        async with self._threads.reserved(trace.thread) as free:
            if free:
                with contextlib.suppress(_InUse):
                    return await self._loaded(turn, trace, recipe)
        name = _uuid7()  # the thread is in use: this turn continues a copy
        content, place = rollout.renamed(trace.content, trace.thread, name), trace.place.replace(trace.thread, name)
        return await self._loaded(turn, msgspec.structs.replace(trace, thread=name, content=content, place=place), recipe)

    async def _loaded(self, turn: Turn, trace: Trace, recipe: Recipe) -> Opening:
        name, content = trace.thread, trace.content
        missing = turn.history[turn.covered :]
        if trace.calls:
            outputs = tuple(takewhile(lambda item: isinstance(item, Answered), missing))
            content = rollout.with_items(content, history_items(outputs, trace.calls))
            missing = missing[len(outputs) :]
        path = self._home / trace.place
        try:
            _write(path, content)
            await self._resume(name, path, recipe)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        thread = OpenThread(name, path, recipe, self._connection)
        thread.tail = Tail(path, len(content))
        thread.totals, thread.documents = rollout.tokens(content), trace.documents
        thread.service_tier, thread.added, thread.notes = trace.service_tier, trace.added, trace.notes
        return Opening(thread, missing, "resumed")

    async def _resume(self, name: str, path: Path, recipe: Recipe) -> None:
        params = recipe.resume_params(name, path)
        for _ in range(_TRIES):
            try:
                started = await self._connection.request("thread/resume", params, wire.ThreadStarted)
                break
            except WorkerFailed as error:
                if _STILL_WRITTEN not in error.detail:
                    raise
            await asyncio.sleep(_BETWEEN_TRIES)
        else:
            raise _InUse("A thread is still in use by another process.", detail=name)
        await self._check(started, recipe)
        if started.thread.id != name:
            raise WorkerFailed("Codex resumed another thread.", detail=f"{started.thread.id} for {name}")


def check_workspace(cwd: str) -> None:
    """Raise WorkspaceUnusable if a command has made the workspace inaccessible or removed it: Codex's own error is unclear."""
    if reason := why_unusable(cwd):
        raise WorkspaceUnusable(f"The workspace {cwd} cannot be used: {reason}.", param="x_codex.cwd")


def _rebuilt(turn: Turn, trace: Trace) -> tuple[History, ...]:
    """The turn's history, with the recorded items in place of those that the client repeats."""
    try:
        items = rollout.model_items(trace.content) or [*map(msgspec.json.decode, trace.items)]
    except msgspec.MsgspecError:
        return turn.history
    texts = [msgspec.json.encode(item).decode() for item in notes.without(items, trace.added, turn)]
    return (*map(Verbatim, texts), *turn.history[turn.covered :]) if texts else turn.history


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # left by an earlier server, whose processes may still have it open
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(content)


def _uuid7() -> str:
    """A new thread id like the CLI's own; the provider's prompt cache needs a real UUIDv7."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))
