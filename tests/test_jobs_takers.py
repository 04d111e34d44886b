"""Which taker gets which job: a conversation is continued where it is, and nobody waits long for that."""

import asyncio

import msgspec
import pytest

from codex_proxy import jobs
from codex_proxy.history import Text
from codex_proxy.job import Job
from codex_proxy.jobs import JobQueue
from codex_proxy.turns import Trace, Turn, TurnCompleted

_TURN = Turn("t", "m", None, "agent", "read-only", False, "/", (), (Text("hi"),))
_END = TurnCompleted(None)
_LIMIT = 5.0  # seconds


class _Worker:
    """A taker that holds some threads."""

    def __init__(self, *threads: str, busy: bool = False) -> None:
        self.busy = busy
        self._threads = threads

    def holds(self, turn: Turn) -> bool:
        return turn.trace is not None and turn.trace.thread in self._threads


def _queue(*takers: _Worker) -> JobQueue:
    queue = JobQueue(10, 60.0, len(takers))
    queue.takers.extend(takers)
    return queue


def _submit(queue: JobQueue, thread: str | None) -> Job:
    trace = None if thread is None else Trace(thread, "1")
    return queue.submit(msgspec.structs.replace(_TURN, trace=trace), "somebody")


async def _take(queue: JobQueue, taker: _Worker) -> Job:
    async with asyncio.timeout(_LIMIT):
        return await queue.take(taker)


async def test_who_holds_a_conversation_takes_its_turn_before_older_ones() -> None:
    here, there = _Worker("a"), _Worker("b", busy=True)
    queue = _queue(here, there)
    other, new, own = (_submit(queue, thread) for thread in ("b", None, "a"))
    assert [await _take(queue, here) for _ in range(3)] == [own, other, new]
    for job in (own, other, new):
        job.end(_END)


async def test_who_has_waited_long_is_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = _Worker("a"), _Worker("b", busy=True)
    queue = _queue(here, there)
    other, own = _submit(queue, "b"), _submit(queue, "a")
    monkeypatch.setattr(jobs, "_OVERTAKEN_FOR", -1.0)
    assert [await _take(queue, here), await _take(queue, here)] == [other, own]
    for job in (other, own):
        job.end(_END)


async def test_a_turn_is_left_for_a_moment_to_an_idle_holder_and_then_to_anybody() -> None:
    here, there = _Worker(), _Worker("b")
    queue = _queue(here, there)
    job = _submit(queue, "b")
    taking = asyncio.ensure_future(queue.take(here))
    await asyncio.sleep(0)
    assert not taking.done()
    async with asyncio.timeout(jobs.HELD_FOR + _LIMIT):
        assert await taking is job
    job.end(_END)
