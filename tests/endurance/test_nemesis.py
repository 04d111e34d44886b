"""Twenty clients and a nemesis: every request has one outcome, no answer has a word of another's, and calm comes back.

What is kept is what the clients were told: `completed` stays with its text, and nothing reads running afterwards.

NEMESIS_SECONDS says how long the storm lasts.
"""

import asyncio
import contextlib
import itertools
import math
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
from tests.support.answers import FORMS, Form, Seen, seen
from tests.support.redis_server import redis_server
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
CLIENTS, WORKERS = 20, 4
SECONDS = float(os.environ.get("NEMESIS_SECONDS", "20"))
BEFORE, AFTER = 5.0, 5.0  # seconds that are measured
EVERY = 0.7  # seconds between two bad deeds, on average
LEAVES = 0.1  # the share of requests whose client leaves before the end
POLLED_EVERY = 0.1  # seconds
REFUSED = 0.05  # seconds that a client waits after a refusal
CALM_AFTER = 10.0  # seconds after the last fault in which a turn takes as long as before it again
FACTOR, SLACK = 2.0, 0.5  # how much longer it may take, as machines are noisy; and seconds beside
LOOKS = 3  # at how long it takes: what else the machine does passes, a worker that is lost is lost
SETTINGS = {
    "CODEX_MAX_PARALLEL_REQUESTS": str(WORKERS),
    "CODEX_TIMEOUT": "8",
    "CODEX_QUEUE_TIMEOUT": "20",
    "PROXY_DRAIN_SECONDS": "2",
    "LOG_LEVEL": "warning",
    "PROXY_STORE_MAX_MB": "1000",  # nothing is forgotten for want of room
}
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")  # what it has said to have kept is there after a crash
LIMIT = 60.0  # seconds for any one request: what these allow, and the server's own
_TOKEN = re.compile(r"token[0-9x]+")
_RUNNING = re.compile(r'"status":"(queued|in_progress)"')
_RESPONSE = re.compile(r"resp_[0-9a-f]{32}")


class Outcome(msgspec.Struct, frozen=True):
    """Of one request: `kind` is completed, refused, cut, left, or the code of an error; the times are monotonic seconds."""

    kind: str
    began: float
    ended: float


class Told(msgspec.Struct, frozen=True):
    """What a client was told of a response: the text and the end, as far as they came."""

    text: str
    ended: str | None


class Clients:
    """All of them, and what they saw: the outcomes, and what must not be."""

    def __init__(self, nemesis: Nemesis, chance: random.Random) -> None:
        self.outcomes: list[Outcome] = []
        self.responses: dict[str, Told] = {}  # by id
        self.wrong: list[str] = []
        self.asked = 0
        self.leaving = False
        self.over = asyncio.Event()
        self._nemesis = nemesis
        self._chance = chance

    async def run(self, number: int) -> None:
        """Ask, one request after the other, until `over`."""
        async with http_session() as http:
            for turn, form in enumerate(itertools.cycle((*FORMS, None))):
                if self.over.is_set():
                    return
                self.asked += 1
                began = time.monotonic()
                kind = await self._ask(http, f"token{number}x{turn}", form)
                self.outcomes.append(Outcome(kind, began, time.monotonic()))
                if kind == "refused":
                    await asyncio.sleep(REFUSED)

    def p95(self, since: float, until: float) -> float:
        """Seconds that a request took that began and ended in this time; without end when there were none."""
        took = [one.ended - one.began for one in self.outcomes if since <= one.began and one.ended <= until]
        return quantiles(took, n=20)[-1] if len(took) > 1 else math.inf

    async def _ask(self, http: aiohttp.ClientSession, token: str, form: Form | None) -> str:
        """In one of the forms, or in the background."""
        if form is None:
            return await self._ask_in_background(http, token)
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
        got = seen(route, answer, raw)
        if (named := _RESPONSE.search(raw)) is not None:
            self.responses[named[0]] = Told(got.text, got.ended)
        return self._judge(token, raw, got)

    async def compare(self) -> Counter[str]:
        """Each record with what its client was told. How many there are of each status."""
        found: Counter[str] = Counter()
        async with http_session() as http:
            for name, told in self.responses.items():
                answer = await http.get(f"{self._nemesis.server.base_url}/responses/{name}")
                record = await answer.text()
                kept = seen("responses", answer, record)
                found[str(kept.ended if answer.status == 200 else answer.status)] += 1
                if kept.ended in (None, "queued", "in_progress"):
                    self.wrong.append(f"{name}: reads {kept.ended} in the end: {record}")
                if told.ended == "completed" and (kept.ended, kept.text) != ("completed", told.text):
                    self.wrong.append(f"{name}: was told as completed, and reads {record}")
        return found

    async def _ask_in_background(self, http: aiohttp.ClientSession, token: str) -> str:
        name, raw = None, ""
        try:
            async with asyncio.timeout(LIMIT):
                while name is None or _RUNNING.search(raw):
                    await asyncio.sleep(0 if name is None else POLLED_EVERY)
                    with contextlib.suppress(aiohttp.ClientError) if name else contextlib.nullcontext():
                        url = f"{self._nemesis.server.base_url}/responses"
                        body = {"input": token, "background": True}
                        answer = await (http.get(f"{url}/{name}") if name else http.post(url, json=body))
                        found = await answer.text()
                        if name is None and answer.status != 200:
                            return self._judge(token, found, seen("responses", answer, found))
                        if answer.status != 503:  # the store is away, and it is asked again
                            raw = found
                            name = name or _RESPONSE.findall(raw)[0]
        except TimeoutError:
            self.wrong.append(f"{token}: no outcome within {LIMIT} s: {name}")
            return "left"
        except aiohttp.ClientConnectorError:
            return "refused"
        except aiohttp.ClientError:
            return "cut"
        got = seen("responses", answer, raw)
        self.responses[name] = Told(got.text, got.ended)
        return self._judge(token, raw, got)

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
    async with redis_server(*DURABLE) as store:
        environ["PROXY_STORE"] = store.url
        nemesis = Nemesis(chance, start_command, store)
        nemesis.server = await start_command()
        await _storm(nemesis, scripted, Clients(nemesis, chance))
    async with asyncio.timeout(5):
        await _none(home)


async def _storm(nemesis: Nemesis, scripted: Model, clients: Clients) -> None:
    """Calm, storm, and calm again."""
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(clients.run(number))
        began = time.monotonic()
        await asyncio.sleep(BEFORE)
        storm = time.monotonic()
        clients.leaving = scripted.trouble = True
        await nemesis.rage(SECONDS, EVERY)
        clients.leaving = scripted.trouble = False
        await asyncio.sleep(CALM_AFTER)
        calm = time.monotonic()
        before, after = clients.p95(began, storm), list[float]()
        while len(after) < LOOKS and (not after or after[-1] >= FACTOR * before + SLACK):
            since = time.monotonic()
            await asyncio.sleep(AFTER)
            after.append(clients.p95(since, time.monotonic()))
        clients.over.set()
    kinds = Counter(one.kind for one in clients.outcomes)
    kept = await clients.compare()
    print(f"{kinds}; {nemesis.done}; p95 before {before:.2f} s, after {[round(one, 2) for one in after]} s; kept: {kept}")
    assert clients.wrong == []
    assert kinds.total() == clients.asked
    assert {one.kind for one in clients.outcomes if one.began > calm} == {"completed"}
    assert after[-1] < FACTOR * before + SLACK
    async with asyncio.timeout(5):
        while len(children_of(nemesis.server.process.pid)) != 2 * WORKERS:  # a warden and a CLI each
            await asyncio.sleep(0.05)
    assert await nemesis.server.stop() == 0
