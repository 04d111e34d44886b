"""Each call to the system that can fail, failing once at each place of a turn: it is told, and nothing is left over."""

import contextlib
import errno
import itertools
import os
import random
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from codex_proxy.demo.home import Home
from tests.faults.conftest import Faulty, FaultyStarter
from tests.support.answers import FORMS, Form, ask
from tests.support.fakes import codex
from tests.support.long_run import LONG

TEXT = "".join(codex.WORDS)
SOME = 2  # of the calls of a seam, in the quick run
MOST = 40  # of them, in the long one


class Seam(msgspec.Struct, frozen=True):
    """A call to the system: where it is found, what it fails with, and whether a call is one of the server's."""

    place: Any  # a module or a class
    name: str
    error: Exception
    ours: Callable[..., bool] = lambda *_, **__: True


def _served(one: socket.socket, *_: object) -> bool:
    """Whether it is the server's end of a connection: its own address is that which listens."""
    return one.family == socket.AF_INET and one.getsockname()[1] in _listening


def _in_home(path: object, *_: object, **__: object) -> bool:
    return "codex-proxy-demo-" in str(path)


_listening: set[int] = set()
_IO, _NO_FILES, _NO_PROCESS = (OSError(number, os.strerror(number)) for number in (errno.EIO, errno.EMFILE, errno.EAGAIN))
TURN_SEAMS = {
    "a line to the CLI": Seam(os, "write", BrokenPipeError(errno.EPIPE, "Broken pipe")),
    "a line from the CLI": Seam(os, "read", _IO),
    "an answer to the client": Seam(socket.socket, "send", ConnectionResetError(errno.ECONNRESET, "Connection reset"), _served),
    "a request of the client": Seam(socket.socket, "recv", ConnectionResetError(errno.ECONNRESET, "Connection reset"), _served),
    "a look at a file": Seam(os, "stat", OSError(errno.EACCES, "Permission denied"), _in_home),
}
START_SEAMS = {
    "a process": Seam(subprocess, "_fork_exec", _NO_PROCESS),
    "pipes": Seam(os, "pipe", _NO_FILES),
}
STORE_ERRORS = {
    "disk full": sqlite3.OperationalError("database or disk is full"),
    "disk broken": sqlite3.OperationalError("disk I/O error"),
    "not a database": sqlite3.DatabaseError("database disk image is malformed"),
}


class Failing:
    """A seam while it is watched; the call number `at` fails, the first being 1."""

    def __init__(self, seam: Seam) -> None:
        self._seam = seam
        self.at = 0
        self.calls = 0
        self._counting = threading.Lock()

    def fail_at(self, number: int) -> None:
        self.at, self.calls = number, 0

    @property
    def failed(self) -> bool:
        return 0 < self.at <= self.calls

    def check(self) -> None:
        """One more call of the server's. Raises what the seam fails with when it is its turn."""
        with self._counting:
            self.calls += 1
            fails = self.calls == self.at
        if fails:
            raise self._seam.error.with_traceback(None)

    @contextmanager
    def watched(self) -> Iterator[None]:
        real = getattr(self._seam.place, self._seam.name)

        def call(*arguments: Any, **options: Any) -> Any:  # Any: the seam's own
            if self._seam.ours(*arguments, **options):
                self.check()
            return real(*arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self._seam.place, self._seam.name, call)
            yield


async def _one_outcome(faulty: Faulty, form: Form) -> None:
    """Ask: there is the whole answer, or an error of ours, or a connection that breaks. A workspace that cannot be seen is told."""
    try:
        seen = await ask(faulty.proxy, form)
    except (aiohttp.ClientError, msgspec.DecodeError):
        return
    if seen.code is None and seen.ended in ("stop", "completed"):
        assert (seen.status, seen.text) == (200, TEXT)
    elif seen.code == "workspace_unusable":
        assert seen.status == 400, seen
    else:
        assert seen.status in (200, 500, 502, 503), seen
        assert TEXT.startswith(seen.text)


def _some(calls: int, every: bool, name: str) -> list[int]:
    numbers = range(1, calls + 1)
    return sorted(random.Random(name).sample(numbers, min(MOST if every else SOME, calls)))


async def _sweep_turns(start_faulty: FaultyStarter, name: str, every: bool) -> None:
    form = itertools.cycle(FORMS)
    failing = Failing(TURN_SEAMS[name])
    async with start_faulty() as faulty:
        _listening.add(int(faulty.proxy.address.rpartition(":")[2]))
        with failing.watched():
            await faulty.works(FORMS[1])
            calls = failing.calls
            for number in _some(calls, every, name):
                failing.fail_at(number)
                await _one_outcome(faulty, next(form))
                await faulty.quiesced()
                failing.fail_at(0)
                await faulty.works(FORMS[number % 4])
    assert calls


async def _sweep_starts(start_faulty: FaultyStarter, name: str, every: bool) -> None:
    failing = Failing(START_SEAMS[name])
    async with start_faulty() as faulty:
        with failing.watched():
            for number in itertools.count(1):
                failing.fail_at(number)
                faulty.will("exits_1", "idle")
                await faulty.works(FORMS[0])
                await faulty.works(FORMS[0])
                if not failing.failed or number == (MOST if every else SOME):
                    break
            assert number > 1


@pytest.mark.parametrize("name", TURN_SEAMS)
async def test_a_call_that_fails_at_some_places_of_a_turn_is_told_and_leaves_nothing(
    start_faulty: FaultyStarter, name: str
) -> None:
    await _sweep_turns(start_faulty, name, every=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", TURN_SEAMS)
async def test_a_call_that_fails_at_any_place_of_a_turn_is_told_and_leaves_nothing(start_faulty: FaultyStarter, name: str) -> None:
    await _sweep_turns(start_faulty, name, every=True)


@pytest.mark.parametrize("name", START_SEAMS)
async def test_a_worker_that_cannot_be_started_at_once_is_started_again(start_faulty: FaultyStarter, name: str) -> None:
    await _sweep_starts(start_faulty, name, every=False)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], home: Home, start_faulty: FaultyStarter) -> "Statements":
    """A store on disk, any statement of which can be made to fail."""
    environ["PROXY_STORE"] = f"sqlite://{home.root / 'responses.sqlite'}"
    statements = Statements(home.root / "responses.sqlite")
    real = sqlite3.connect

    class Connection(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            statements.check()
            return super().execute(*arguments)

        def executemany(self, *arguments: Any) -> sqlite3.Cursor:
            statements.check()
            return super().executemany(*arguments)

        def commit(self) -> None:
            statements.check()
            super().commit()

    monkeypatch.setattr(sqlite3, "connect", lambda *arguments, **options: real(*arguments, factory=Connection, **options))
    return statements


class Statements:
    """Counts statements and commits; the one with number `at` fails with `error`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.at = self.calls = 0
        self.error: Exception = sqlite3.OperationalError()
        self._counting = threading.Lock()

    def fail_at(self, number: int, error: Exception) -> None:
        self.at, self.calls, self.error = number, 0, error

    def check(self) -> None:
        with self._counting:
            self.calls += 1
            fails = self.calls == self.at
        if fails:
            raise self.error.with_traceback(None)


async def _sweep_statements(start_faulty: FaultyStarter, statements: Statements, every: bool) -> None:
    forms: tuple[Form, ...] = (("responses", False), ("responses", True))
    async with start_faulty() as faulty:
        for (turn, (name, error)), background in itertools.product(enumerate(STORE_ERRORS.items()), (False, True)):
            statements.fail_at(0, error)
            await ask(faulty.proxy, forms[1], background=background)
            await faulty.quiesced()
            numbers = _some(statements.calls, every, name)
            if every and not LONG:  # each statement fails once in each form of request, and the errors take turns
                numbers = [number for number in numbers if number % len(STORE_ERRORS) == turn]
            for number in numbers:
                statements.fail_at(number, error)
                await _outcome_of_stored(faulty, forms[number % 2], background)
                await faulty.quiesced()
                statements.fail_at(0, error)
                await faulty.works(forms[number % 2])
    with contextlib.closing(sqlite3.connect(statements.file)) as database:
        assert database.execute("SELECT id, status FROM kept WHERE running").fetchall() == []


async def _outcome_of_stored(faulty: Faulty, form: Form, background: bool) -> None:
    try:
        seen = await ask(faulty.proxy, form, background=background)
    except aiohttp.ClientPayloadError:  # cut off, to come again with starting_after
        assert background
        assert form[1]
        return
    assert seen.status in (200, 503), seen
    assert TEXT.startswith(seen.text)
    for word in ("responses.sqlite", "disk image", "codex-proxy-demo"):
        assert word not in seen.raw


async def test_a_statement_of_the_store_that_fails_is_told_and_leaves_nothing(
    start_faulty: FaultyStarter, statements: Statements
) -> None:
    await _sweep_statements(start_faulty, statements, every=False)


@pytest.mark.slow
async def test_any_statement_of_the_store_that_fails_is_told_and_leaves_nothing(
    start_faulty: FaultyStarter, statements: Statements
) -> None:
    await _sweep_statements(start_faulty, statements, every=True)
