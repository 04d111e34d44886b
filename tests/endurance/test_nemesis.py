"""Twenty clients and a nemesis: every request has one outcome, no answer has a word of another's, and calm comes back.

NEMESIS_SECONDS says how long the storm lasts.
"""

import asyncio
import itertools
import os
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from statistics import quantiles

import aiohttp
import msgspec
import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from tests.conftest import RunningCommand, children_of
from tests.endurance.nemesis import Model, Nemesis, pieces_of
from tests.faults.answers import FORMS, Form, Seen, seen
from tests.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
CLIENTS, WORKERS = 20, 4
SECONDS = float(os.environ.get("NEMESIS_SECONDS", "30"))
BEFORE, AFTER = 5.0, 5.0  # seconds that are measured
EVERY = 0.7  # seconds between two bad deeds, on average
LEAVES = 0.1  # the share of requests whose client leaves before the end
REFUSED = 0.05  # seconds that a client waits after a refusal
CALM_AFTER = 10.0  # seconds after the last fault in which a turn takes as long as before it again
FACTOR, SLACK = 2.0, 0.5  # how much longer it may take, as machines are noisy; and seconds beside
SETTINGS = {
    "CODEX_MAX_PARALLEL_REQUESTS": str(WORKERS),
    "CODEX_TIMEOUT": "8",
    "CODEX_QUEUE_TIMEOUT": "20",
    "PROXY_DRAIN_SECONDS": "2",
    "LOG_LEVEL": "warning",
}
LIMIT = 60.0  # seconds for any one request: what these allow, and the server's own
_TOKEN = re.compile(r"token[0-9x]+")


class Outcome(msgspec.Struct, frozen=True):
    """Of one request: `kind` is completed, refused, cut, left, or the code of an error; the times are monotonic seconds."""

    kind: str
    began: float
    ended: float


class Clients:
    """All of them, and what they saw: the outcomes, and what must not be."""

    def __init__(self, nemesis: Nemesis, chance: random.Random) -> None:
        self.outcomes: list[Outcome] = []
        self.wrong: list[str] = []
        self.asked = 0
        self.leaving = False
        self.over = asyncio.Event()
        self._nemesis = nemesis
        self._chance = chance

    async def run(self, number: int) -> None:
        """Ask, one request after the other, until `over`."""
        async with http_session() as http:
            for turn, form in enumerate(itertools.cycle(FORMS)):
                if self.over.is_set():
                    return
                self.asked += 1
                began = time.monotonic()
                kind = await self._ask(http, f"token{number}x{turn}", form)
                self.outcomes.append(Outcome(kind, began, time.monotonic()))
                if kind == "refused":
                    await asyncio.sleep(REFUSED)

    def p95(self, since: float, until: float) -> float:
        """Seconds that a request took that began and ended in this time."""
        return quantiles([one.ended - one.began for one in self.outcomes if since <= one.began and one.ended <= until], n=20)[-1]

    async def _ask(self, http: aiohttp.ClientSession, token: str, form: Form) -> str:
        route, stream = form
        place = "messages" if route == "chat/completions" else "input"
        body = {place: [{"role": "user", "content": token}], "stream": stream}
        leaves = self.leaving and self._chance.random() < LEAVES
        try:
            async with asyncio.timeout(self._chance.random() / 3 if leaves else LIMIT):
                answer = await http.post(f"{self._nemesis.server.base_url}/{route}", json=body)
                raw = await answer.text()
        except TimeoutError:
            if not leaves:
                self.wrong.append(f"{token}: no outcome within {LIMIT} s")
            return "left"
        except aiohttp.ClientConnectorError:
            return "refused"
        except aiohttp.ClientError:
            return "cut"
        return self._judge(token, raw, seen(route, answer, raw))

    def _judge(self, token: str, raw: str, got: Seen) -> str:
        text = "".join(pieces_of(token))
        ended = got.ended in ("stop", "completed")
        if {*_TOKEN.findall(raw)} - {token}:
            self.wrong.append(f"{token}: another's words: {raw}")
        if got.code is None and not (ended and got.status == 200 and got.text == text):
            self.wrong.append(f"{token}: neither whole nor an error: {raw}")
        if got.code is not None and ended:
            self.wrong.append(f"{token}: completed and an error: {raw}")
        return got.code or "completed"


def _processes_of(home: Home) -> Iterable[int]:
    """All that have this home in their environment, whoever their parent is."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(home.root).encode() in path.read_bytes():
                yield int(path.parent.name)
        except OSError:
            continue


async def _none(home: Home) -> None:
    while list(_processes_of(home)):
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_every_request_has_one_outcome_whatever_happens_and_calm_comes_back(
    start_command: StartCommand, model: ModelServer, environ: dict[str, str], home: Home
) -> None:
    chance = random.Random(6)
    scripted = Model(chance)
    model.script = scripted.script
    environ |= SETTINGS
    nemesis = Nemesis(chance, start_command)
    nemesis.server = await start_command()
    clients = Clients(nemesis, chance)
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(clients.run(number))
        began = time.monotonic()
        await asyncio.sleep(BEFORE)
        storm = time.monotonic()
        clients.leaving = scripted.trouble = True
        await nemesis.rage(SECONDS, EVERY)
        clients.leaving = scripted.trouble = False
        calm = time.monotonic() + CALM_AFTER
        await asyncio.sleep(CALM_AFTER + AFTER)
        end = time.monotonic()
        clients.over.set()
    kinds = Counter(one.kind for one in clients.outcomes)
    before, after = clients.p95(began, storm), clients.p95(calm, end)
    print(f"{kinds}; {nemesis.done}; p95 before {before:.2f} s, after {after:.2f} s")
    assert clients.wrong == []
    assert kinds.total() == clients.asked
    assert {one.kind for one in clients.outcomes if one.began > calm} == {"completed"}
    assert after < FACTOR * before + SLACK
    async with asyncio.timeout(5):
        while len(children_of(nemesis.server.process.pid)) != 2 * WORKERS:  # a warden and a CLI each
            await asyncio.sleep(0.05)
    assert await nemesis.server.stop() == 0
    async with asyncio.timeout(5):
        await _none(home)
