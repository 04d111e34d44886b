"""A job and its channel, and the queue: who waits, who never does, and that nothing is lost."""

import asyncio

import pytest

from codex_proxy.errors import NotReady, QueueFull, ShuttingDown, UpstreamFailed
from codex_proxy.history import Text
from codex_proxy.job import EVENTS_AHEAD, Job
from codex_proxy.jobs import JobQueue
from codex_proxy.tasks import spawn
from codex_proxy.turns import MessageDelta, Turn, TurnCompleted, TurnEvent, TurnFailed, TurnStarted, Waiting
from tests.support import virtual_time

_LIMIT = 5.0  # seconds
_TURN = Turn("t", "m", None, "agent", "read-only", False, "/", (), (Text("hi"),))
_END = TurnCompleted(None)


async def test_events_arrive_in_order_up_to_the_end() -> None:
    job = Job(_TURN)
    events: list[TurnEvent] = [TurnStarted(), *_deltas(3 * EVENTS_AHEAD), _END]
    async with asyncio.timeout(_LIMIT):
        _, seen = await asyncio.gather(_publish(job, events), _read_to_the_end(job))
    assert seen == events


async def test_publish_waits_while_there_is_no_room() -> None:
    job = await _full_job()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await job.publish(TurnStarted())
    assert [await job.next_event() for _ in range(EVENTS_AHEAD)] == _deltas(EVENTS_AHEAD)


async def test_a_publish_that_waits_is_freed_by_the_reader() -> None:
    job = await _full_job()
    async with asyncio.timeout(_LIMIT):
        await asyncio.gather(job.publish(TurnStarted()), job.next_event())


async def test_a_publish_that_waits_is_freed_by_abandon() -> None:
    job = await _full_job()

    async def leave() -> None:
        job.abandon()

    async with asyncio.timeout(_LIMIT):
        await asyncio.gather(job.publish(TurnStarted()), leave())
        await _publish(job, _deltas(3 * EVENTS_AHEAD))  # and none waits any more


def test_a_turn_that_waits_for_a_worker_says_so_once_and_has_not_begun() -> None:
    async def main() -> None:
        queue = JobQueue(8, 30.0, 1)
        taken, waits = queue.submit(_TURN), queue.submit(_TURN)
        assert await queue.take() is taken
        await asyncio.sleep(20)
        assert await waits.next_event() == Waiting("worker")
        assert await queue.take() is waits
        await waits.publish(TurnStarted())
        assert [await waits.next_event(), taken.begun, waits.begun] == [TurnStarted(), False, True]
        await asyncio.sleep(20)
        for job in (taken, waits):
            job.end(_END)
            assert await job.next_event() == _END

    virtual_time.run(main())


def test_the_end_of_a_turn_that_waited_is_its_first_status_still() -> None:
    async def main() -> None:
        queue = JobQueue(8, 30.0, 1)
        job = queue.submit(_TURN)
        await asyncio.sleep(31)
        assert await job.next_event() == Waiting("worker")
        end = await job.next_event()
        assert isinstance(end, TurnFailed)
        assert (type(end.error), end.error.begun) == (NotReady, False)

    virtual_time.run(main())


async def test_the_end_never_waits_for_room() -> None:
    for event in (_END, TurnFailed(UpstreamFailed("broke"))):
        job = await _full_job()
        async with asyncio.timeout(_LIMIT):
            await job.publish(event)
            assert job.ended
            assert await _read_to_the_end(job) == [*_deltas(EVENTS_AHEAD), event]


async def test_a_job_ends_once_and_the_first_end_is_what_happened() -> None:
    job = Job(_TURN)
    job.end(_END)
    job.end(TurnFailed(UpstreamFailed("too late")))
    await job.publish(TurnCompleted(None, interrupted=True))
    assert await job.next_event() == _END
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await job.next_event()


async def test_a_failure_says_whether_the_turn_had_begun() -> None:
    for before, begun in (([], False), ([TurnStarted()], True)):
        job, error = Job(_TURN), UpstreamFailed("broke")
        await _publish(job, [*before, TurnFailed(error)])
        assert error.begun is begun


async def test_over_is_set_by_the_end_alone() -> None:
    job = Job(_TURN)
    await job.publish(TurnStarted())
    job.interrupt()
    job.abandon()
    assert (job.ended, job.over.is_set()) == (False, False)
    job.end(_END)
    async with asyncio.timeout(_LIMIT):
        await job.over.wait()


async def test_abandon_interrupts_the_turn_and_after_the_end_does_nothing() -> None:
    job = Job(_TURN)
    job.abandon()
    assert (job.abandoned, job.interrupted.is_set()) == (True, True)
    ended = Job(_TURN)
    ended.end(_END)
    ended.abandon()
    assert (ended.abandoned, ended.interrupted.is_set()) == (False, False)
    assert await ended.next_event() == _END


async def test_a_cancelled_reader_loses_no_event() -> None:
    job = Job(_TURN)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await job.next_event()
    reading = spawn("read", job.next_event())

    async def publish_and_cancel() -> None:
        await job.publish(TurnStarted())
        reading.cancel()

    await spawn("publish", publish_and_cancel())
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert await job.next_event() == TurnStarted()


async def test_a_full_queue_refuses_at_once() -> None:
    jobs = JobQueue(2, _LIMIT, 2)
    assert not jobs.full
    jobs.submit(_TURN)
    jobs.submit(_TURN)
    assert (jobs.full, jobs.waiting) == (True, 2)
    with pytest.raises(QueueFull) as caught:
        jobs.submit(_TURN)
    assert caught.value.retry_after
    assert jobs.waiting == 2
    jobs.close()


async def test_a_job_that_is_withdrawn_while_it_waits_gives_its_place_free() -> None:
    jobs = JobQueue(2, _LIMIT, 2)
    leaving, staying = jobs.submit(_TURN), jobs.submit(_TURN)
    jobs.withdraw(leaving, _END)
    leaving.abandon()
    assert (leaving.ended, jobs.full, jobs.waiting) == (True, False, 1)
    last = jobs.submit(_TURN)
    assert [await jobs.take(), await jobs.take()] == [staying, last]
    assert await leaving.next_event() == _END


async def test_jobs_are_taken_oldest_first() -> None:
    jobs = JobQueue(5, _LIMIT, 2)
    submitted = [jobs.submit(_TURN) for _ in range(5)]
    jobs.withdraw(submitted.pop(2), _END)
    assert [await jobs.take() for _ in range(4)] == submitted


async def test_a_taken_job_cannot_be_withdrawn() -> None:
    jobs = JobQueue(1, _LIMIT, 2)
    job = jobs.submit(_TURN)
    assert await jobs.take() is job
    jobs.withdraw(job, _END)
    assert not job.ended


async def test_taking_gives_a_place_free() -> None:
    jobs = JobQueue(1, _LIMIT, 2)
    first = jobs.submit(_TURN)
    assert await jobs.take() is first
    second = jobs.submit(_TURN)
    assert await jobs.take() is second


async def test_a_take_that_is_cancelled_in_the_moment_of_a_job_loses_none() -> None:
    jobs = JobQueue(1, _LIMIT, 2)
    taking = spawn("take", jobs.take())

    async def submit_and_cancel() -> Job:
        job = jobs.submit(_TURN)
        taking.cancel()
        return job

    job = await spawn("submit", submit_and_cancel())
    await asyncio.wait([taking])
    assert taking.cancelled()
    async with asyncio.timeout(_LIMIT):
        assert await jobs.take() is job


async def test_a_cancelled_take_hands_its_job_to_the_next_that_waits() -> None:
    jobs = JobQueue(1, _LIMIT, 2)
    cancelled, next_one = spawn("take", jobs.take()), spawn("take too", jobs.take())

    async def submit_and_cancel() -> Job:
        job = jobs.submit(_TURN)
        cancelled.cancel()
        return job

    job = await spawn("submit", submit_and_cancel())
    async with asyncio.timeout(_LIMIT):
        assert await next_one is job
    assert cancelled.cancelled()


async def test_a_job_that_is_withdrawn_in_the_moment_of_its_taking_is_not_taken() -> None:
    jobs = JobQueue(1, _LIMIT, 2)
    taking = spawn("take", jobs.take())

    async def submit_and_withdraw() -> None:
        jobs.withdraw(jobs.submit(_TURN), _END)

    await spawn("submit", submit_and_withdraw())
    job = jobs.submit(_TURN)
    async with asyncio.timeout(_LIMIT):
        assert await taking is job


async def test_a_job_that_waits_too_long_ends_not_ready_and_gives_its_place_free() -> None:
    jobs = JobQueue(1, 0.01, 2)
    job = jobs.submit(_TURN)
    assert "0.01 s" in await _error(job, NotReady)
    assert (job.ended, jobs.waiting) == (True, 0)
    jobs.submit(_TURN)
    jobs.close()


async def test_a_taken_job_does_not_expire() -> None:
    jobs = JobQueue(2, 0.01, 2)
    taken = jobs.submit(_TURN)
    assert await jobs.take() is taken
    later = jobs.submit(_TURN)
    await _error(later, NotReady)  # so the time of the first is over too
    assert not taken.ended


async def test_a_closed_queue_ends_what_waits_and_takes_no_more() -> None:
    jobs = JobQueue(3, _LIMIT, 2)
    taken = jobs.submit(_TURN)
    assert await jobs.take() is taken
    waiting = [jobs.submit(_TURN), jobs.submit(_TURN)]
    jobs.close()
    for job in waiting:
        await _error(job, ShuttingDown)
    assert (jobs.closed, jobs.waiting, taken.ended) == (True, 0, False)
    with pytest.raises(ShuttingDown) as caught:
        jobs.submit(_TURN)
    assert caught.value.retry_after


def _deltas(number: int) -> list[TurnEvent]:
    return [MessageDelta("m", str(index)) for index in range(number)]


async def _publish(job: Job, events: list[TurnEvent]) -> None:
    for event in events:
        await job.publish(event)


async def test_callers_take_turns_at_the_head_of_the_queue() -> None:
    queue = JobQueue(20, _LIMIT, 2)
    jobs = [queue.submit(_TURN, whose) for whose in "aaaabbc"]
    taken = [await queue.take() for _ in jobs]
    assert [job.whose for job in taken] == list("abcabaa")
    assert [job for job in taken if job.whose == "a"] == jobs[:4]


async def test_a_caller_with_much_in_a_full_queue_makes_room_for_one_with_less() -> None:
    queue = JobQueue(4, _LIMIT, 2)
    greedy = [queue.submit(_TURN, "a") for _ in range(4)]
    first = queue.submit(_TURN, "b")
    assert await _failure(greedy[3]) == QueueFull
    queue.submit(_TURN, "b")
    assert await _failure(greedy[2]) == QueueFull
    for whose in "ab":  # each has two
        with pytest.raises(QueueFull):
            queue.submit(_TURN, whose)
    assert [await queue.take(), await queue.take()] == [greedy[0], first]
    assert queue.waiting == 2


async def test_more_turns_of_a_caller_than_may_run_at_once_wait_for_each_other() -> None:
    queue = JobQueue(20, _LIMIT, 2)
    mine = [queue.submit(_TURN, "a", 2) for _ in range(4)]
    other = queue.submit(_TURN, "b")
    taken = [await queue.take() for _ in range(3)]
    assert taken == [mine[0], other, mine[1]]
    assert queue.waiting == 2
    taking = spawn("take", queue.take())
    await asyncio.sleep(0)
    assert not taking.done()
    mine[0].end(_END)
    async with asyncio.timeout(_LIMIT):
        assert await taking is mine[2]
    queue.withdraw(mine[3], _END)  # while it is held
    for job in (mine[1], mine[2]):
        job.end(_END)
    assert queue.waiting == 0
    assert await _taken_at_once(queue, queue.submit(_TURN, "a", 2))


async def test_a_turn_that_is_held_back_runs_out_of_time_as_any() -> None:
    queue = JobQueue(20, 0.01, 2)
    running = queue.submit(_TURN, "a", 1)
    assert await queue.take() is running
    held = queue.submit(_TURN, "a", 1)
    assert await _failure(held) == NotReady
    running.end(_END)
    assert queue.waiting == 0


async def test_a_job_that_comes_last_waits_for_every_other_and_leaves_one_slot_free() -> None:
    queue = JobQueue(20, _LIMIT, 2)
    last = queue.submit(_TURN, "a", last=True)
    first, second = queue.submit(_TURN, "b"), queue.submit(_TURN, "a")
    assert [await queue.take(), await queue.take()] == [second, first]
    taking = spawn("take", queue.take())
    second.end(_END)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not taking.done()  # a slot is free, but the only one
    first.end(_END)
    async with asyncio.timeout(_LIMIT):
        assert await taking is last
    assert await _taken_at_once(queue, queue.submit(_TURN, "b"))


async def test_a_single_slot_runs_what_comes_last_when_nothing_else_waits() -> None:
    queue = JobQueue(20, _LIMIT, 1)
    last, other = queue.submit(_TURN, "a", last=True), queue.submit(_TURN, "b")
    assert await queue.take() is other
    other.end(_END)
    assert await _taken_at_once(queue, last)


async def test_in_a_full_queue_what_comes_last_makes_room_and_takes_none() -> None:
    queue = JobQueue(3, _LIMIT, 2)
    mine = [queue.submit(_TURN, "a"), *(queue.submit(_TURN, "a", last=True) for _ in range(2))]
    with pytest.raises(QueueFull):
        queue.submit(_TURN, "b", last=True)
    queue.submit(_TURN, "a")
    assert await _failure(mine[2]) == QueueFull
    assert not mine[1].ended
    queue.close()


async def test_all_that_have_not_ended_can_be_listed_the_running_first_and_the_oldest_of_each() -> None:
    queue = JobQueue(9, _LIMIT, 2)
    jobs = [queue.submit(_TURN, whose) for whose in "aab"]
    assert (queue.open, queue.running) == (jobs, 0)
    taken = [await queue.take(), await queue.take()]
    assert taken == [jobs[0], jobs[2]]
    assert (queue.open, queue.waiting, queue.running) == ([jobs[0], jobs[2], jobs[1]], 1, 2)
    for job in taken:
        job.end(_END)
    assert queue.open == [jobs[1]]
    queue.close()
    assert queue.open == []


async def _failure(job: Job) -> type[Exception]:
    async with asyncio.timeout(_LIMIT):
        event = await job.next_event()
    assert isinstance(event, TurnFailed)
    return type(event.error)


async def _taken_at_once(queue: JobQueue, job: Job) -> bool:
    async with asyncio.timeout(_LIMIT):
        return await queue.take() is job


async def _full_job() -> Job:
    """A job whose channel holds as many events as may wait."""
    job = Job(_TURN)
    async with asyncio.timeout(_LIMIT):
        await _publish(job, _deltas(EVENTS_AHEAD))
    return job


async def _read_to_the_end(job: Job) -> list[TurnEvent]:
    seen = [await job.next_event()]
    while not isinstance(seen[-1], TurnCompleted | TurnFailed):
        seen.append(await job.next_event())
    return seen


async def _error(job: Job, kind: type[Exception]) -> str:
    """The message of the error that a job ends with."""
    async with asyncio.timeout(_LIMIT):
        event = await job.next_event()
    assert isinstance(event, TurnFailed)
    assert isinstance(event.error, kind)
    return event.error.message
