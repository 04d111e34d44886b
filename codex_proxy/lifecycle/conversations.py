"""Conversations in the store: their items, and the single response that may be generated in each at a time.

Changes are optimistic: a conversation is read again if another writer changed it first. A response adds its items when it has
ended, before its end is reported.
"""

import asyncio
import functools
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence

import msgspec

from codex_proxy.decoding import Decoding
from codex_proxy.dialects import bounds
from codex_proxy.dialects.responses import conversations as dialect
from codex_proxy.dialects.responses import item_ids
from codex_proxy.dialects.responses.conversations import Conversation
from codex_proxy.errors import ConversationNotFound, InvalidRequest, ItemNotFound, StoreUnavailable
from codex_proxy.lifecycle.fullness import Fullness
from codex_proxy.lifecycle.outbox import Outbox
from codex_proxy.lifecycle.parts import Part
from codex_proxy.store.base import CONVERSATION, Amendment, Extent, Order, Page, Record, Store, StoredEvent

_log = logging.getLogger(__name__)

_READERS = 2  # conversations read whole at a time: each may be as large as a body
_FOUND_AT_ONCE = 500  # items, by their ids
_TRIES = 20  # tries for a change; each one can lose to another writer
_RETRY_AFTER = 3.0  # seconds


class Conversations:
    """The conversations in a store. `lock_time` is how many seconds a response may hold one, including its wait in the queue.

    `instance` is the name of this one.
    """

    def __init__(self, store: Store, outbox: Outbox, lock_time: float, decoding: Decoding, instance: str) -> None:
        self.store = store
        self.outbox = outbox
        self.lock_time = lock_time
        self.instance = instance
        self.decoding = decoding
        self._reading = asyncio.Semaphore(_READERS)
        self._fullness = Fullness(store, decoding)

    async def create(self, owner: str, metadata: dict[str, str], items: bytes) -> bytes:
        """Create a conversation with the items of a JSON array; returns its object as JSON.

        Raises StorageFull and StoreUnavailable.
        """
        now = int(time.time())
        conversation = Conversation(f"conv_{uuid.uuid4().hex}", now, metadata)
        body = msgspec.json.encode(conversation)
        record = Record(id=conversation.id, owner=owner, created_at=now, status=CONVERSATION, body=body)
        await self.store.create(record, b"[]", b"[]")
        try:
            if items != b"[]":
                await self.append(owner, conversation.id, items, [], bounded=True)
        except BaseException:  # nobody will know of it
            removal = functools.partial(self.store.delete, owner, conversation.id)
            self.outbox.put(f"the removal of {conversation.id}", removal, self.lock_time)
            raise
        return body

    async def get(self, owner: str, name: str, param: str | None = None) -> Record:
        """Return the record. Raises ConversationNotFound; `param` is the request member that named the conversation."""
        record = await self.store.get(owner, name)
        if record is None or record.status != CONVERSATION:
            raise ConversationNotFound(f"Conversation with id {name[:100]!r} not found.", param=param)
        return record

    async def items(self, owner: str, name: str, param: str | None = None) -> list[StoredEvent]:
        """Return all items in order; an item's id is the event's type. Raises ConversationNotFound."""
        await self.get(owner, name, param)
        return await self._all(owner, name)

    async def item(self, owner: str, name: str, item: str) -> StoredEvent:
        """Return one item. Raises ConversationNotFound and ItemNotFound."""
        await self.get(owner, name)
        if not (found := await self._find(owner, name, [item])):
            raise ItemNotFound(f"Item with id {item[:100]!r} not found in conversation {name[:100]!r}.")
        return found[0]

    async def page(self, owner: str, name: str, limit: int, order: Order, after: str | None) -> Page:
        """Return up to `limit` items after the item with the id `after`, and whether there are more: fewer when they are large.

        Raises ConversationNotFound, and InvalidRequest when there is no such item.
        """
        await self.get(owner, name)
        beyond = None
        if after is not None:
            if not (found := await self._find(owner, name, [after])):
                raise InvalidRequest("Invalid value for 'after': there is no item with that id.", param="after")
            beyond = found[0].number
        async with self._reading:
            return await self.store.page(owner, name, limit, order, beyond, bounds.PAGE_BYTES)

    async def size(self, owner: str, name: str) -> int:
        """Return the bytes of all that is stored of a conversation; 0 if there is none."""
        extent = await self.store.extent(owner, name)
        return 0 if extent is None else extent.size

    async def named(self, owner: str, name: str, wanted: frozenset[str]) -> list[StoredEvent]:
        """Return the items with these ids; empty if there is no such conversation."""
        record = await self.store.get(owner, name)
        return [] if record is None or record.status != CONVERSATION else await self._find(owner, name, sorted(wanted))

    async def _find(self, owner: str, name: str, ids: Sequence[str]) -> list[StoredEvent]:
        found: list[StoredEvent] = []
        for start in range(0, len(ids), _FOUND_AT_ONCE):
            async with self._reading:  # others come in between
                found += await self.store.find(owner, name, ids[start : start + _FOUND_AT_ONCE])
        return found

    async def _all(self, owner: str, name: str) -> list[StoredEvent]:
        async with self._reading:
            return [one async for page in self._pages(owner, name) for one in page]

    async def _pages(self, owner: str, name: str) -> AsyncIterator[list[StoredEvent]]:
        after = -1
        while page := await self.store.events(owner, name, after):
            yield page
            after = page[-1].number

    async def update(self, owner: str, name: str, metadata: dict[str, str]) -> bytes:
        """Replace the metadata; returns the changed object as JSON. Raises ConversationNotFound."""
        for _ in range(_TRIES):
            record = await self.get(owner, name)
            conversation = msgspec.json.decode(record.body, type=Conversation)
            body = msgspec.json.encode(msgspec.structs.replace(conversation, metadata=metadata))
            if await self.store.amend(owner, _amendment(record, body=body)):
                return body
        raise _too_busy()

    async def add(self, owner: str, name: str, given: bytes) -> list[StoredEvent]:
        """Append the items of a JSON array. Raises ConversationNotFound, and InvalidRequest if there is no room.

        Raises StoreUnavailable, with `begun` set if nobody knows whether the items were added.
        """
        tried: list[StoredEvent] = []
        try:
            return await self.append(owner, name, given, tried, bounded=True)
        except StoreUnavailable:
            if not tried:
                raise
        try:
            return await self.append(owner, name, given, tried, bounded=True)
        except StoreUnavailable as error:
            problem = "The store did not say whether the items were added. List the items before you add them again."
            raise StoreUnavailable(problem, detail=error.detail, begun=True) from error

    async def append(
        self, owner: str, name: str, given: bytes, tried: list[StoredEvent], *, bounded: bool = False
    ) -> list[StoredEvent]:
        """Append items. `tried` holds what an earlier call may have written without hearing of its success, and is updated."""
        ids = await self.decoding.run(len(given), dialect.given_ids, given)
        for _ in range(_TRIES):
            record = await self.get(owner, name)
            if tried and tried[0] in await self._find(owner, name, [tried[0].type]):
                break
            taken = {one.type for one in await self._find(owner, name, ids)}
            added = await self.decoding.run(len(given), dialect.items, given, taken, functools.partial(_new_id, name))
            contents = [item.content for item in added]
            if bounded:
                await self._check_room(record, contents)
            tried[:] = [StoredEvent(record.last_event + 1 + n, item.id, item.content) for n, item in enumerate(added)]
            if not tried or await self.store.amend(owner, _amendment(record, added=tried)):
                await self._fullness.note(record, record.last_event + len(tried), contents)
                break
            tried.clear()
        else:
            raise _too_busy()
        return tried

    async def _check_room(self, record: Record, added: Sequence[bytes]) -> None:
        """Check that there is room for more items. Raises InvalidRequest."""
        extent = await self.store.extent(record.owner, record.id) or Extent(0, 0)
        bounds.at_most(bounds.ITEMS, extent.items + len(added), "items in its conversation", "items")
        if extent.size + sum(map(len, added)) > bounds.HISTORY_BYTES:
            raise _full(f"{bounds.HISTORY_BYTES // 2**20} MB")
        if added and await self._fullness.with_more(record, extent.size, added) > bounds.VALUES:
            raise _full(f"{bounds.VALUES:,} values")

    async def remove(self, owner: str, name: str, item: str) -> Record:
        """Remove an item; returns the record as it was before. Raises ConversationNotFound and ItemNotFound."""
        for _ in range(_TRIES):
            record = await self.get(owner, name)
            found = await self.item(owner, name, item)
            if await self.store.amend(owner, _amendment(record, removed=[found])):
                return record
        raise _too_busy()

    async def withdraw(self, owner: str, name: str, added: Sequence[StoredEvent]) -> None:
        """Remove those items that are still there as they were added. Raises ConversationNotFound."""
        for _ in range(_TRIES):
            record = await self.get(owner, name)
            found = await self._find(owner, name, [one.type for one in added])
            there = [one for one in found if one in added]
            if not there or await self.store.amend(owner, _amendment(record, removed=there)):
                return
        raise _too_busy()

    async def delete(self, owner: str, name: str) -> None:
        """Delete a conversation. Raises ConversationNotFound."""
        await self.get(owner, name)
        await self.store.delete(owner, name)

    async def enter(self, owner: str, name: str) -> tuple[Part, list[bytes]]:
        """Lock a conversation for a response; returns the response's part in it, and the items.

        Raises ConversationNotFound, ConversationLocked and InvalidRequest.
        """
        record = await self.get(owner, name, "conversation")
        part = Part(self, owner, name)
        try:
            await part.lock()
            await self._check_room(record, ())
            kept = await self.items(owner, name, "conversation")
        except BaseException:
            part.leave()
            raise
        return part, [item.content for item in kept]


def _new_id(conversation: str, prefix: str) -> str:
    return item_ids.of_conversation(prefix, conversation, uuid.uuid4().hex[:16])


def _amendment(
    record: Record, *, body: bytes | None = None, added: Sequence[StoredEvent] = (), removed: Sequence[StoredEvent] = ()
) -> Amendment:
    return Amendment(id=record.id, at=int(time.time()), after=record.last_event, body=body, added=added, removed=removed)


def _full(most: str) -> InvalidRequest:
    return InvalidRequest(f"A conversation may have {most}. Begin a new one, or delete items.", param="items")


def _too_busy() -> StoreUnavailable:
    return StoreUnavailable("Too many requests are changing this conversation at once. Try again.", retry_after=_RETRY_AFTER)
