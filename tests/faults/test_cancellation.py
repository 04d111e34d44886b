"""A request, cancelled at each of its suspensions, as by a client that leaves: nothing is left over, and the next turn works."""

import asyncio
import contextlib
import itertools
import random
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from codex_proxy import tasks
from codex_proxy.demo.home import Home
from tests.faults.conftest import Faulty, FaultyStarter
from tests.faults.suspensions import Suspensions
from tests.support.answers import FORMS, Form, ask
from tests.support.fakes import codex

HANDLER = "RequestHandler._handle_request"  # aiohttp's task of one request
SUPERVISOR = "Supervisor.run"
TEXT = "".join(codex.WORDS)
_CHAT = ("chat/completions", {"messages": [{"role": "user", "content": "go"}]})
_RESPONSE = ("responses", {"input": "go"})
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": _CHAT,
    "chat, streaming": (_CHAT[0], _CHAT[1] | {"stream": True}),
    "response": _RESPONSE,
    "response, streaming": (_RESPONSE[0], _RESPONSE[1] | {"stream": True}),
    "background": (_RESPONSE[0], _RESPONSE[1] | {"background": True}),
    "background, streaming": (_RESPONSE[0], _RESPONSE[1] | {"background": True, "stream": True}),
}
SOME = 4  # of the suspensions, in the quick run


@pytest.fixture
def stored(environ: dict[str, str], home: Home, start_faulty: FaultyStarter) -> Path:
    """The file of the store, whose every statement is a suspension."""
    path = home.root / "responses.sqlite"
    environ["PROXY_STORE"] = f"sqlite://{path}"
    return path


async def _ask(faulty: Faulty, name: str, number: int) -> None:
    """Ask, whatever comes of it."""
    route, body = REQUESTS[name]
    headers = {"Idempotency-Key": f"key-{number}"}
    with contextlib.suppress(aiohttp.ClientError):
        answer = await faulty.proxy.http.post(f"{faulty.proxy.base_url}/{route}", json=body, headers=headers)
        await answer.read()


def _running(stored: Path) -> list[tuple[str, str]]:
    """The responses that read running after the end of the server."""
    with contextlib.closing(sqlite3.connect(stored)) as database:
        return database.execute("SELECT id, status FROM kept WHERE running").fetchall()


async def _sweep(faulty: Faulty, name: str, every: bool) -> int:
    """Cancel at all suspensions, or at a few of them. How many there are."""
    suspensions = Suspensions(HANDLER)
    with suspensions.watched():
        await _ask(faulty, name, 0)
        number_of_them = suspensions.count
        some = sorted(random.Random(name).sample(range(1, number_of_them + 1), min(SOME, number_of_them)))
        for number in itertools.count(1) if every else some:
            suspensions.cancel_at(number)
            await _ask(faulty, name, number)
            cancelled = suspensions.cancelled
            suspensions.cancel_at(0)
            await faulty.quiesced()
            if not cancelled:  # its end came first
                break
            if number % 5 == 0 or not every:
                await faulty.works((REQUESTS[name][0], True))
        await faulty.works((REQUESTS[name][0], True))
    return number_of_them


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_cancelled_at_some_of_its_suspensions_leaves_nothing(
    start_faulty: FaultyStarter, stored: Path, name: str
) -> None:
    async with start_faulty() as faulty:
        assert await _sweep(faulty, name, every=False) > SOME
    assert _running(stored) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_cancelled_at_any_of_its_suspensions_leaves_nothing(
    start_faulty: FaultyStarter, stored: Path, name: str
) -> None:
    async with start_faulty() as faulty:
        assert await _sweep(faulty, name, every=True) > SOME
    assert _running(stored) == []


async def _stop_in_a_turn(start_faulty: FaultyStarter, form: Form, number: int) -> bool:
    """Cancel the supervisor at this suspension of a turn, and stop. Whether it got that far."""
    suspensions = Suspensions(SUPERVISOR)
    with suspensions.watched():
        async with start_faulty() as faulty:
            idle = len(tasks.running())
            suspensions.cancel_at(number)
            async with asyncio.timeout(10):
                seen = await ask(faulty.proxy, form)
                while not suspensions.cancelled and len(tasks.running()) != idle:
                    await asyncio.sleep(0)
                cancelled = suspensions.cancelled
                suspensions.cancel_at(0)
                while cancelled and "supervisor 1" in tasks.running():  # a stop cancels it once
                    await asyncio.sleep(0)
    if seen.code is None:
        assert seen.text == TEXT
    else:
        assert (seen.status, seen.code) in ((503, "shutting_down"), (200, "shutting_down"), (200, "server_error"))
    return cancelled


@pytest.mark.parametrize("number", [1, 2, 3, 5])
async def test_a_supervisor_stopped_at_some_suspensions_of_a_turn_ends_its_job(start_faulty: FaultyStarter, number: int) -> None:
    await _stop_in_a_turn(start_faulty, FORMS[number % 4], number)


@pytest.mark.slow
async def test_a_supervisor_stopped_at_any_suspension_of_a_turn_ends_its_job(start_faulty: FaultyStarter) -> None:
    for number in itertools.count(1):
        if not await _stop_in_a_turn(start_faulty, FORMS[number % 4], number):
            break
    assert number > SOME
