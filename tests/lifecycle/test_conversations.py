"""Conversations in a store: what is read of one, and how many are read at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

import msgspec
import pytest

from codex_proxy.decoding import Decoding
from codex_proxy.dialects import bounds
from codex_proxy.dialects.responses.items import OutputMessage
from codex_proxy.errors import ConversationLocked, InvalidRequest, ItemNotFound
from codex_proxy.lifecycle.conversations import Conversations
from codex_proxy.lifecycle.outbox import Outbox
from codex_proxy.store.base import Store, StoredEvent
from codex_proxy.store.memory import MemoryStore
from tests.dialects.responses import BLANK
from tests.store.contract import a_record, change, ended
from tests.support.failing_store import FailingStore

_P = ParamSpec("_P")
_T = TypeVar("_T")
_ITEMS = 30


class Slow(MemoryStore):
    """Counts those that read events at once; each reads for a while."""

    at_once = most = 0

    async def events(self, owner: str, record_id: str, after: int) -> list[StoredEvent]:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        for _ in range(5):
            await asyncio.sleep(0)
        self.at_once -= 1
        return await super().events(owner, record_id, after)


class Noted(Decoding):
    """Remembers the sizes of the bodies that are worked on in the thread."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def run(self, size: int, work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        self.sizes.append(size)
        return await super().run(size, work, *arguments, **named)


@pytest.fixture
async def decoding() -> AsyncIterator[Noted]:
    made = Noted()
    yield made
    made.close()


def _conversations(store: Store, decoding: Decoding) -> Conversations:
    return Conversations(store, Outbox(), 60.0, decoding, "here")


async def _filled(conversations: Conversations) -> str:
    """A conversation of anna with that many items, msg_0 and so on."""
    items = [{"id": f"msg_{n}", "type": "message", "role": "user", "content": str(n)} for n in range(_ITEMS)]
    made = await conversations.create("anna", {}, msgspec.json.encode(items))
    name: str = msgspec.json.decode(made)["id"]
    return name


async def test_a_page_an_item_and_an_append_read_nothing_else_of_a_conversation(decoding: Decoding) -> None:
    store = FailingStore(MemoryStore(3600, 64 * 1024 * 1024))
    conversations = _conversations(store.as_store, decoding)
    name = await _filled(conversations)
    store.broken.add("events")  # by which all are read
    page = await conversations.page("anna", name, 10, "desc", None)
    assert ([one.type for one in page.items], page.more) == ([f"msg_{n}" for n in range(29, 19, -1)], True)
    page = await conversations.page("anna", name, 10, "asc", "msg_19")
    assert ([one.type for one in page.items], page.more) == ([f"msg_{n}" for n in range(20, 30)], False)
    with pytest.raises(InvalidRequest, match="after"):
        await conversations.page("anna", name, 10, "asc", "msg_30")
    assert (await conversations.item("anna", name, "msg_7")).number == 7
    with pytest.raises(ItemNotFound):
        await conversations.item("anna", name, "msg_30")
    given = msgspec.json.encode([{"type": "message", "id": one, "role": "user", "content": "x"} for one in ("msg_7", "mine")])
    added = await conversations.add("anna", name, given)
    assert [one.number for one in added] == [30, 31]
    assert added[0].type not in {f"msg_{n}" for n in range(_ITEMS)}
    assert added[1].type == "mine"
    tried = list(added)
    assert await conversations.append("anna", name, given, tried) == added  # its success was not heard of
    await conversations.remove("anna", name, "mine")
    extent = await store.as_store.extent("anna", name)
    assert extent is not None
    assert extent.items == _ITEMS + 1


async def test_a_full_conversation_takes_no_more(decoding: Decoding) -> None:
    store = MemoryStore(3600, 256 * 1024 * 1024)
    conversations = _conversations(store, decoding)
    name = await _filled(conversations)
    large = msgspec.json.encode([{"type": "message", "role": "user", "content": "x" * (40 * 1024 * 1024)}])
    await conversations.add("anna", name, large)
    with pytest.raises(InvalidRequest, match="64 MB"):
        await conversations.add("anna", name, large)


async def test_a_conversation_with_too_many_values_takes_no_more_and_is_read_once(
    decoding: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FailingStore(MemoryStore(3600, 64 * 1024 * 1024))
    conversations = _conversations(store.as_store, decoding)
    name = await _filled(conversations)
    monkeypatch.setattr(bounds, "VALUES", 34 * 15)  # each item has 15, and there are 30
    one = msgspec.json.encode([{"type": "message", "role": "user", "content": "x"}])
    store.calls.clear()
    [first], [second] = await conversations.add("anna", name, one), await conversations.add("anna", name, one)
    assert store.calls.count("page") == 1  # counted on
    part, _ = await conversations.enter("anna", name)
    part.given = one
    await part.add(msgspec.structs.replace(BLANK, status="completed"))
    await part.release()
    await conversations.add("anna", name, one)
    with pytest.raises(InvalidRequest, match="may have 510 values"):
        await conversations.add("anna", name, one)
    await conversations.remove("anna", name, first.type)
    await conversations.remove("anna", name, second.type)
    await conversations.add("anna", name, one)


async def test_what_a_response_adds_is_joined_in_the_thread_and_comes_in_order(decoding: Noted) -> None:
    conversations = _conversations(MemoryStore(3600, 64 * 1024 * 1024), decoding)
    name = await _filled(conversations)
    part, items = await conversations.enter("anna", name)
    part.given = msgspec.json.encode([{"type": "message", "id": "given", "role": "user", "content": "x" * 100_000}])
    decoding.sizes.clear()
    answer = OutputMessage("said", "completed", ())
    await part.add(msgspec.structs.replace(BLANK, status="completed", output=(answer,)))
    assert [one.type for one in (await conversations.page("anna", name, 3, "asc", "msg_28")).items] == ["msg_29", "given", "said"]
    whole = len(part.given) + len(msgspec.json.encode(answer))
    assert (len(items), decoding.sizes) == (_ITEMS, [whole, whole + 1, whole + 1])  # joined, its ids read, its items made


async def test_two_conversations_are_read_whole_at_once_and_no_more(decoding: Decoding) -> None:
    store = Slow(3600, 64 * 1024 * 1024)
    conversations = _conversations(store, decoding)
    names = [await _filled(conversations) for _ in range(5)]
    read = await asyncio.gather(*(conversations.items("anna", name) for name in names))
    assert [len(items) for items in read] == [_ITEMS] * 5
    assert store.most == 2


async def test_many_ids_are_found_in_few_reads_and_none_where_there_is_no_conversation(decoding: Decoding) -> None:
    store = FailingStore(MemoryStore(3600, 64 * 1024 * 1024))
    conversations = _conversations(store.as_store, decoding)
    name = await _filled(conversations)
    wanted = frozenset(f"msg_{n}" for n in range(1200))
    for conversation, found, reads in ((name, _ITEMS, 3), ("conv_of_nobody", 0, 0)):
        store.calls.clear()
        assert len(await conversations.named("anna", conversation, wanted)) == found
        assert store.calls.count("find") == reads


async def test_a_lock_is_that_of_a_response_that_is_being_made(decoding: Decoding) -> None:
    """Its server may have died, or taken too long to begin; what has ended elsewhere adds nothing later."""
    store = MemoryStore(3600, 64 * 1024 * 1024)
    conversations = _conversations(store, decoding)
    name = await _filled(conversations)
    given = b'[{"type":"message","role":"user","content":"x"}]'
    for number, ending in enumerate((store.update(change(ended(a_record("resp_0")))), store.delete("anna", "resp_1"))):
        record = a_record(f"resp_{number}")
        await store.create(record, given, b"[]")
        first, _ = await conversations.enter("anna", name)
        await first.bind(record.id)
        with pytest.raises(ConversationLocked):
            await conversations.enter("anna", name)
        await ending
        second, _ = await conversations.enter("anna", name)
        with pytest.raises(ConversationLocked):
            await first.bind(record.id)
        await first.add(msgspec.structs.replace(BLANK, id="resp_1", status="completed"))
        await first.release()
        with pytest.raises(ConversationLocked):
            await conversations.enter("anna", name)
        await second.release()
        assert len(await conversations.items("anna", name)) == _ITEMS
    for instance, given_up in (("there", True), ("here", False)):
        elsewhere = Conversations(store, Outbox(), 60.0, decoding, instance)
        await elsewhere.enter("anna", name)
        with contextlib.nullcontext() if given_up else pytest.raises(ConversationLocked):
            third, _ = await conversations.enter("anna", name)
            await third.release()
