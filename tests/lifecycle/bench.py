"""What stands around a run, without HTTP and without a CLI: a store that can be made to fail, a queue, a worker in name."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from codex_proxy.decoding import Decoding
from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.errors import ProxyError
from codex_proxy.history import Text
from codex_proxy.job import Job
from codex_proxy.jobs import JobQueue
from codex_proxy.lifecycle.background import Backgrounds
from codex_proxy.lifecycle.claims import Claims, Held, KeptAnswer
from codex_proxy.lifecycle.conversations import Conversations
from codex_proxy.lifecycle.instance import Instance
from codex_proxy.lifecycle.run import Run
from codex_proxy.store.memory import MemoryStore
from codex_proxy.tasks import see_out, spawn
from codex_proxy.turns import MessageCompleted, MessageDelta, MessageStarted, Turn, TurnCompleted, TurnStarted, Usage
from tests.support.failing_store import FailingStore

OWNER = "anna"
PIECES = tuple(f"piece{number} " for number in range(5))
COUNTED = Usage(7, 0, 3, 0)  # of a turn that is interrupted
PACE = 0.5  # seconds between two of them


class Told(msgspec.Struct, frozen=True):
    """What a client was told. `events`: of the stream, with their numbers; `kept`: the answer to a repetition.

    `began`: whether the worker had been told of its turn, which the client cannot know.
    """

    response_id: str | None = None
    status: str | None = None
    events: tuple[tuple[int, str], ...] = ()
    error: ProxyError | None = None
    kept: KeptAnswer | None = None
    began: bool = False


class Bench:
    """Clients ask with `ask`; `turns` is how often the worker was told of a turn."""

    def __init__(self) -> None:
        self.memory = MemoryStore(3600.0, 10_000_000)
        self.store = FailingStore(self.memory)
        self.jobs = JobQueue(64, 60.0, 1)
        self.instance = Instance(self.store.as_store)
        self.backgrounds = Backgrounds(self.store.as_store)
        self.claims = Claims(self.store.as_store, self.instance.outbox, 180.0, self.instance.name)
        self.decoding = Decoding()
        outbox, name = self.instance.outbox, self.instance.name
        self.conversations = Conversations(self.store.as_store, outbox, 240.0, self.decoding, name)
        self.turns = 0
        self.runs: list[Run] = []

    @classmethod
    @asynccontextmanager
    async def at_work(cls) -> AsyncIterator["Bench"]:
        bench = cls()
        async with bench.instance.alive():
            worker = spawn("a worker", bench._work())
            try:
                yield bench
            finally:
                await see_out(worker)
                bench.jobs.close()
                await bench.backgrounds.over()
                bench.decoding.close()

    async def ask(self, key: str | None = None, **members: Any) -> Told:
        """One request for a response, as the handler of the route goes about it."""
        raw = msgspec.json.encode({"input": "go"} | members)
        held: Held | None = None
        runs = len(self.runs)
        try:
            if key is not None:
                found = await self.claims.enter(OWNER, "/v1/responses", key, hashlib.sha256(raw).hexdigest())
                if isinstance(found, KeptAnswer):
                    return Told(found.follows, kept=found)
                held = found
            told = await self._make(raw, held)
            if held is not None:
                held.answer(KeptAnswer(body=str(told.status), follows=told.response_id if members.get("background") else None))
            return told
        except ProxyError as error:
            if held is not None:
                held.answer(KeptAnswer(503, body=error.message)) if error.begun else held.free()
            run = self.runs[-1] if len(self.runs) > runs else None
            return Told(None if run is None else run.id, error=error, began=bool(run and run.job and run.job.begun))
        finally:
            if held is not None:
                held.close()

    async def status(self, response_id: str | None) -> str | None:
        """What the record of a response says, whether the store fails or not; None when there is none."""
        record = await self.memory.get(OWNER, str(response_id))
        return None if record is None else record.status

    async def _make(self, raw: bytes, held: Held | None) -> Told:
        asked = responses_request.decode(raw).continuing(())
        turn = Turn("t", "m", None, "agent", "read-only", False, "/", (), (Text("go"),))
        part = None if asked.conversation_id is None else (await self.conversations.enter(OWNER, asked.conversation_id))[0]
        run = Run(self.instance, self.jobs, OWNER, asked, turn, lambda *_: None, part)
        self.runs.append(run)
        events = [] if asked.background else run.first()
        try:
            await run.create(*run.given())
            await run.bind_part()
            run.give_part()
            if held is not None:
                await held.bind(run.stored_id)
            run.start(self.jobs.submit(turn, OWNER))
            if held is not None:
                held.job = run.job
            if asked.background:
                self.backgrounds.start(run)
                return Told(run.id, run.stream.response.status)
            while not run.told:
                events += await run.next()
        finally:
            if not asked.background or run.job is None:
                run.leave()
                if held is not None:
                    held.recorded = run.recorded
        return Told(run.id, run.stream.response.status, tuple((one.sequence_number, _type(one)) for one in events))

    async def _work(self) -> None:
        while True:
            job = await self.jobs.take()
            self.turns += 1
            await self._turn(job)

    async def _turn(self, job: Job) -> None:
        await job.publish(TurnStarted())
        await job.publish(MessageStarted("m1", None))
        for piece in PIECES:
            if job.interrupted.is_set():
                job.end(TurnCompleted(COUNTED, interrupted=True))
                return
            await job.publish(MessageDelta("m1", piece))
            await asyncio.sleep(PACE)
        await job.publish(MessageCompleted("m1", "".join(PIECES)))
        job.end(TurnCompleted(None))


def _type(event: msgspec.Struct) -> str:
    return str(type(event).__struct_config__.tag)
