"""What holds whatever the store does: it is failed at every one of its calls, once and for a minute, in three ways.

An error after the turn has begun says so; a turn runs at most once for a key; an end is written, or the record failed, in
bounded time; `completed`, once told, stays; a follower gets every event once and one last event, or an error; a cancel is heard.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import get_args

import msgspec
import pytest

from codex_proxy.errors import IdempotencyConflict, ProxyError, StoreUnavailable
from codex_proxy.lifecycle import background
from codex_proxy.store import memory
from codex_proxy.store.base import CONVERSATION, RUNNING, Change, Record, StoredEvent
from tests.lifecycle.bench import OWNER, Bench, Told
from tests.support import virtual_time
from tests.support.failing_store import How
from tests.support.long_run import often

MINUTE = 60.0
MOST = 12  # calls from the first one of a scenario on: later ones are the heart's
SEEDS = (129, *range(often(3, 500)))  # 129: a key is bound and its record deleted, and its release fails
SETTLED = 20.0  # seconds after the end of the fault
LAST = ("response.completed", "response.incomplete", "response.failed")
Scenario = Callable[[Bench], Awaitable[None]]


async def foreground(bench: Bench) -> None:
    told = await bench.ask()
    assert told.error is not None or told.status == "completed"
    _assert_begun_is_told(told)
    await _settled()
    await _assert_ended(bench, told)
    if told.error is not None and told.error.begun:  # what was made is not lost
        assert await bench.status(told.response_id) == "completed"


async def with_a_key(bench: Bench) -> None:
    told = await _until_final(bench, key="key")
    again = await _until_final(bench, key="key")
    await _settled()
    later = await bench.ask("key")
    assert bench.turns == 1
    assert later.kept is not None
    assert again.kept in (None, later.kept) or again.response_id == told.response_id
    if told.kept is None:
        assert later.kept.body == (told.status if told.error is None else told.error.message)
    await _assert_ended(bench, told)


async def in_the_background(bench: Bench) -> None:
    told = await _until_final(bench, background=True)
    assert (told.status, bench.turns) == ("queued", bench.turns)
    assert told.response_id is not None
    seen: list[tuple[int, str]] = []
    for _ in range(20):
        error = await _follow(bench, told.response_id, seen)
        assert (error is None) == (seen[-1:] != [] and seen[-1][1] in LAST)
        if error is None:
            break
    assert [number for number, _ in seen] == list(range(len(seen)))
    assert [name for _, name in seen if name in LAST] == ["response.completed"]
    await _settled()
    await _assert_ended(bench, told)


async def in_the_background_with_a_key(bench: Bench) -> None:
    told = await _until_final(bench, key="key", background=True)
    again = await _until_final(bench, key="key", background=True)
    await _settled()
    later = await _until_final(bench, key="key", background=True)
    assert bench.turns == 1
    assert told.response_id == again.response_id == later.response_id
    await _assert_ended(bench, told)


async def cancelled(bench: Bench) -> None:
    told = await _until_final(bench, background=True)
    assert told.response_id is not None
    for _ in range(100):
        try:
            record = await bench.store.get(OWNER, told.response_id)
            record = await background.cancelled(bench.store.as_store, OWNER, record)
            break
        except ProxyError:
            await asyncio.sleep(1)
    await _settled()
    assert await bench.status(told.response_id) in ("cancelled", "completed")
    assert bench.jobs.open == []


async def deleted(bench: Bench) -> None:
    told = await _until_final(bench, background=True)
    assert told.response_id is not None
    for _ in range(100):
        try:
            await bench.store.delete(OWNER, told.response_id)
            break
        except ProxyError:
            await asyncio.sleep(1)
    await _settled()
    assert await bench.status(told.response_id) is None
    assert bench.jobs.open == []
    assert bench.instance.live == {}


async def left(bench: Bench) -> None:
    """The client leaves while its answer is being made."""
    asking = asyncio.ensure_future(bench.ask("key"))
    await asyncio.sleep(1.3)
    asking.cancel()
    await asyncio.wait([asking])
    await _settled()
    again = await bench.ask("key")
    assert bench.turns == 1
    assert isinstance(again.error, IdempotencyConflict) or again.status == "completed"
    await asyncio.sleep(1)
    await _assert_ended(bench, again)


async def left_at_the_end(bench: Bench) -> None:
    """The client leaves when its answer has been made, but is not stored yet."""
    bench.store.broken.add("update")
    asking = asyncio.ensure_future(bench.ask("key"))
    await asyncio.sleep(4)
    asking.cancel()
    await asyncio.wait([asking])
    bench.store.broken.clear()
    again = await _until_final(bench, "key")
    await _settled()
    assert bench.turns <= 1
    if bench.runs[0].stream.response.status == "completed":
        assert again.response_id == bench.runs[0].id
    await _assert_ended(bench, again)


async def in_a_conversation(bench: Bench) -> None:
    """What was made is in it once and whole, and it is free for the next response."""
    name = await _conversation(bench)
    tolds = [await _until_final(bench, conversation=name)]
    await _settled()
    tolds.append(await bench.ask(conversation=name))
    await _settled()
    assert tolds[1].status == "completed"
    assert [await bench.status(told.response_id) for told in tolds] == ["completed"] * 2
    assert await _roles(bench, name) == ["user", "assistant"] * 2
    await _assert_ended(bench, tolds[0])


async def items_added(bench: Bench) -> None:
    """As an SDK does: again after an error, unless it says that something was begun."""
    name = await _conversation(bench)
    given = b'[{"type":"message","role":"user","content":"a note"}]'
    added, final = False, False
    for _ in range(200):
        try:
            await bench.conversations.add(OWNER, name, given)
            added = True
            break
        except ProxyError as error:
            if final := error.begun:
                break
            await asyncio.sleep(1)
    assert added or final
    assert len(await _roles(bench, name)) in ({1} if added else {0, 1})


SCENARIOS: tuple[Scenario, ...] = (
    *(foreground, with_a_key, in_the_background, in_the_background_with_a_key, cancelled, deleted),
    *(left, left_at_the_end, in_a_conversation, items_added),
)


@pytest.mark.parametrize("lasts", [0.0, MINUTE], ids=["once", "a minute"])
@pytest.mark.parametrize("how", get_args(How))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_rules_hold_whatever_call_of_the_store_fails(scenario: Scenario, how: How, lasts: float) -> None:
    async def main() -> None:
        for number in itertools.count(1):
            async with Bench.at_work() as bench:
                bench.store.fail(number, how, lasts)
                calls = len(bench.store.calls)
                try:
                    await scenario(bench)
                except AssertionError as error:
                    raise AssertionError(f"call {number}: {bench.store.calls[calls:][:number]}") from error
                over = not bench.store.failed or number == MOST
            if over:
                assert number > 3
                return

    virtual_time.run(main())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_rules_hold_while_calls_of_the_store_fail_at_random(scenario: Scenario) -> None:
    async def main() -> None:
        for seed in SEEDS:
            async with Bench.at_work() as bench:
                bench.store.fail_at_random(seed)
                try:
                    await scenario(bench)
                except AssertionError as error:
                    raise AssertionError(f"seed {seed}: {bench.store.calls}") from error

    virtual_time.run(main())


async def _until_final(bench: Bench, key: str | None = None, **members: object) -> Told:
    """Ask as an SDK does: again after an error, unless it says that the turn had begun."""
    for _ in range(200):
        told = await bench.ask(key, **members)
        _assert_begun_is_told(told)
        if told.error is None or told.error.begun:
            return told
        await asyncio.sleep(1)
    raise AssertionError("never answered")


def test_a_cancel_keeps_the_usage_that_was_counted() -> None:
    async def main() -> None:
        async with Bench.at_work() as bench:
            told = await bench.ask(background=True)
            await asyncio.sleep(1)
            record = await bench.memory.get(OWNER, str(told.response_id))
            assert record is not None
            record = await background.cancelled(bench.memory, OWNER, record)
            usage = msgspec.json.decode(record.body)["usage"]
            assert (record.status, usage["input_tokens"], usage["output_tokens"]) == ("cancelled", 7, 3)

    virtual_time.run(main())


@pytest.mark.parametrize("cancels", [False, True])
def test_an_answer_that_cannot_be_read_neither_cancels_a_background_response_nor_a_cancel(cancels: bool) -> None:
    async def main() -> None:
        async with Bench.at_work() as bench:
            bench.store.nonsense |= {"update", "get", "changed"}
            told = await bench.ask(background=True)
            await asyncio.sleep(1)
            if cancels:
                await bench.memory.want_cancel(OWNER, str(told.response_id))
            await asyncio.sleep(10)
            assert await bench.status(told.response_id) == ("cancelled" if cancels else "completed")

    virtual_time.run(main())


@pytest.mark.parametrize("content", [b"\xff", b"{", b"[]", None], ids=["no text", "half", "no object", "missing"])
def test_a_follower_is_told_of_an_event_that_is_damaged_or_missing(content: bytes | None) -> None:
    """And gets those before it."""

    async def main() -> None:
        async with Bench.at_work() as bench:
            told = await bench.ask(background=True)
            await asyncio.sleep(10)
            events = bench.memory._kept[str(told.response_id)].events
            events[3:4] = [] if content is None else [StoredEvent(3, events[3].type, content)]
            seen: list[tuple[int, str]] = []
            error = await _follow(bench, str(told.response_id), seen)
            assert isinstance(error, StoreUnavailable)
            assert [number for number, _ in seen] == [0, 1, 2]

    virtual_time.run(main())


def test_a_record_of_an_earlier_version_ends_for_who_has_its_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not say which one that is."""
    monkeypatch.setattr(memory, "EVENTS_AT_ONCE", 3)

    async def main() -> None:
        async with Bench.at_work() as bench:
            told = await bench.ask(background=True)
            await asyncio.sleep(10)
            kept = bench.memory._kept[str(told.response_id)]
            kept.record = msgspec.structs.replace(kept.record, last_event=-1)
            seen: list[tuple[int, str]] = []
            assert await _follow(bench, str(told.response_id), seen) is None
            assert await _follow(bench, str(told.response_id), seen) is None
            assert [number for number, _ in seen] == list(range(kept.events[-1].number + 1))

    virtual_time.run(main())


def test_a_follower_that_has_the_last_event_needs_the_record_no_more() -> None:
    """A store that is full may evict it before the follower looks again."""

    async def main() -> None:
        async with Bench.at_work() as bench:
            told = await bench.ask(background=True)
            seen = []
            async for event in background.follow(bench.memory, OWNER, str(told.response_id), -1):
                seen.append(event.type)
                if event.type in LAST:
                    await bench.memory.delete(OWNER, str(told.response_id))
            assert seen[-1] == "response.completed"

    virtual_time.run(main())


@pytest.mark.parametrize("elsewhere", ["failed", "deleted", "failed while it is added"])
def test_what_ended_elsewhere_adds_nothing_to_its_conversation(elsewhere: str) -> None:
    """Another instance took this one for dead, or a client deleted the response there."""

    async def main() -> None:
        async with Bench.at_work() as bench:
            name = await _conversation(bench)
            asking = asyncio.ensure_future(bench.ask(conversation=name))
            await asyncio.sleep(1)
            [record] = await bench.memory.held(bench.instance.name)
            if elsewhere == "failed while it is added":
                bench.store.slow.add("amend")
                while await _roles(bench, name) == []:
                    await asyncio.sleep(0.1)
            if elsewhere != "deleted":
                await bench.memory.update(Change(id=record.id, status="failed"))
            else:
                await bench.memory.delete(OWNER, record.id)
            told = await asking
            assert elsewhere == "deleted" or isinstance(told.error, StoreUnavailable)
            assert await _roles(bench, name) == []
            assert (await bench.ask(conversation=name)).status == "completed"

    virtual_time.run(main())


def test_what_is_not_stored_cannot_be_retrieved_later_but_is_in_its_conversation() -> None:
    async def main() -> None:
        async with Bench.at_work() as bench:
            name = await _conversation(bench)
            bench.store.broken.add("amend")
            told = await bench.ask(conversation=name, store=False)
            bench.store.broken.clear()
            assert told.error is not None
            assert told.error.begun
            assert ("conversation" in told.error.message, "resp_" in told.error.message) == (True, False)
            await _settled()
            assert await _roles(bench, name) == ["user", "assistant"]

    virtual_time.run(main())


def _assert_begun_is_told(told: Told) -> None:
    if told.error is not None and not isinstance(told.error, IdempotencyConflict):
        assert told.error.begun == told.began, told.error


async def _follow(bench: Bench, response_id: str, seen: list[tuple[int, str]]) -> ProxyError | None:
    """Follow after what was seen, up to the end or an error."""
    try:
        async with aclosing(background.follow(bench.store.as_store, OWNER, response_id, len(seen) - 1)) as events:
            async for event in events:
                seen.append((event.number, event.type))
    except ProxyError as error:
        return error
    return None


async def _conversation(bench: Bench) -> str:
    """Create an empty one, whether the store fails or not."""
    record = Record(id="conv_1", owner=OWNER, created_at=int(time.time()), status=CONVERSATION, body=b"{}")
    await bench.memory.create(record, b"[]", b"[]")
    return record.id


async def _roles(bench: Bench, name: str) -> list[str]:
    return [msgspec.json.decode(item.content)["role"] for item in await bench.memory.events(OWNER, name, -1)]


async def _settled() -> None:
    await asyncio.sleep(MINUTE + SETTLED)


async def _assert_ended(bench: Bench, told: Told) -> None:
    for record in await bench.memory.held(bench.instance.name):
        assert record.status not in RUNNING, record
    assert bench.instance.live == {}
    assert bench.instance.outbox.size == 0
    if told.status == "completed":
        assert await bench.status(told.response_id) == "completed"
