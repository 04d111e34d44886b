"""How many JSON values conversations have, which no store counts: read once, then counted on as items are added.

A removal is not counted, so a count can be too high: nothing is refused before it is made anew.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from codex_proxy.decoding import Decoding
from codex_proxy.dialects import bounds, outline
from codex_proxy.store.base import Record, Store

_KNOWN = 1000  # conversations
_READERS = 2  # conversations counted at a time
_AT_ONCE = 1000  # items


class _Count(msgspec.Struct, frozen=True):
    """The values of the items up to the one numbered `last`."""

    last: int
    values: int


class Fullness:
    """The values of conversations, as far as this process knows them."""

    def __init__(self, store: Store, decoding: Decoding) -> None:
        self._store = store
        self._decoding = decoding
        self._reading = asyncio.Semaphore(_READERS)
        self._known = OrderedDict[str, _Count]()  # by the conversation's id

    async def with_more(self, record: Record, size: int, added: Sequence[bytes]) -> int:
        """Return how many values a conversation of `size` bytes will have with these items; 0 if they are too small to matter."""
        if size + sum(map(len, added)) <= bounds.VALUES:
            return 0  # a value has at least a byte
        more = await self._values(added)
        known = self._known.get(record.id)
        if known is None or known.last != record.last_event or known.values + more > bounds.VALUES:
            async with self._reading:
                known = _Count(record.last_event, await self._counted(record))
            self._remember(record.id, known)
        return known.values + more

    async def note(self, record: Record, last: int, added: Sequence[bytes]) -> None:
        """Count items that were added to a conversation as `record` was read, up to the one numbered `last`."""
        known = self._known.get(record.id)
        if known is not None and known.last == record.last_event:
            self._remember(record.id, _Count(last, known.values + await self._values(added)))

    async def _values(self, contents: Sequence[bytes]) -> int:
        return await self._decoding.run(sum(map(len, contents)), outline.values, contents, bounds.VALUES)

    async def _counted(self, record: Record) -> int:
        """Return how many values the stored items have; of too many, enough to tell."""
        values, beyond, more = 0, -1, True
        while more and values <= bounds.VALUES:
            page = await self._store.page(record.owner, record.id, _AT_ONCE, "asc", beyond, bounds.PAGE_BYTES)
            values += await self._values([item.content for item in page.items])
            more, beyond = page.more, page.items[-1].number if page.items else beyond
        return values

    def _remember(self, name: str, count: _Count) -> None:
        self._known[name] = count
        self._known.move_to_end(name)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
