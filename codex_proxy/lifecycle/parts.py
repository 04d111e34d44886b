"""Parts: the hold of a response on its conversation, and what the response adds to it.

Until the response is about to begin, the lock is a lease, which expires; then it is bound to the record, if there is one. A
response that has ended elsewhere, or whose server has died, locks nobody out.
"""

import functools
import logging
from typing import TYPE_CHECKING

import msgspec

from codex_proxy.dialects.responses import conversations as dialect
from codex_proxy.dialects.responses.objects import Response
from codex_proxy.errors import ConversationLocked, ConversationNotFound
from codex_proxy.lifecycle.instance import may_live, new_holder
from codex_proxy.store.base import Claim, StoredEvent

if TYPE_CHECKING:
    from codex_proxy.lifecycle.conversations import Conversations

_log = logging.getLogger(__name__)

_LEASE = 60.0  # seconds that a lock lasts until its response begins: fetching images takes up to 30
_RETRY_AFTER = 3.0  # seconds


class Part:
    """One response's hold on its conversation."""

    def __init__(self, conversations: "Conversations", owner: str, name: str) -> None:
        self.key = f"conversation {name}"
        self.holder = new_holder(conversations.instance)
        self.given: bytes | None = None  # the input items, for a response that is not stored
        self._conversations = conversations
        self._owner = owner
        self._name = name
        self._tried: list[StoredEvent] = []
        self._added = False

    async def lock(self) -> None:
        """Lock the conversation. Raises ConversationLocked while another response is being made in it."""
        store = self._conversations.store
        for _ in range(2):
            claim = await store.claim(self.key, self._owner, "", self.holder, _LEASE)
            if claim is None:
                return
            if await self._holds(claim):
                break
            await store.release(self.key, claim.holder)
        raise _locked("Another response is being made in this conversation. Try again.")

    async def _holds(self, claim: Claim) -> bool:
        """Return whether the response that has the lock may still be generated."""
        store = self._conversations.store
        if claim.response_id is not None:
            record = await store.get(self._owner, claim.response_id)
            return record is not None and record.running
        return await may_live(store, claim, self._conversations.instance)

    async def bind(self, response_id: str | None) -> None:
        """Keep the lock for as long as the response, whose record exists, may take. Raises ConversationLocked if it has expired."""
        if not await self._conversations.store.bind(self.key, self.holder, self._conversations.lock_time, response_id):
            raise _locked("The input took so long to read that another response may have been made in its conversation. Try again.")

    async def add(self, response: Response) -> None:
        """Add the items of an ended response, unless it failed or was cancelled. Idempotent.

        Raises StorageFull and StoreUnavailable.
        """
        if response.ended_well and not self._added:
            await self._add(response)
            self._added = True

    async def withdraw(self) -> None:
        """Remove what was added, as the record had ended otherwise by then. Idempotent; raises StorageFull and StoreUnavailable."""
        if not self._tried:
            return
        try:
            await self._conversations.withdraw(self._owner, self._name, self._tried)
        except ConversationNotFound:
            _log.info("the conversation %s was deleted before its response ended", self._name)

    async def release(self) -> None:
        """Release the lock. Idempotent; raises StoreUnavailable."""
        await self._conversations.store.release(self.key, self.holder)

    async def _add(self, response: Response) -> None:
        given = self.given
        if given is None and (given := await self._conversations.store.input_items(self._owner, response.id)) is None:
            return  # its record was deleted just now: half of it is nothing
        try:
            await self._conversations.append(self._owner, self._name, await self._whole(given, response), self._tried)
        except ConversationNotFound:
            _log.info("the conversation %s was deleted before its response ended", self._name)

    async def _whole(self, given: bytes, response: Response) -> bytes:
        """Return the input items and the output as one JSON array."""
        output = [msgspec.json.encode(item) for item in response.output]
        size = len(given) + sum(map(len, output))

        def join() -> bytes:
            return dialect.array([*map(bytes, msgspec.json.decode(given, type=list[msgspec.Raw])), *output])

        return await self._conversations.decoding.run(size, join)

    def leave(self) -> None:
        """Release the lock without adding anything."""
        release = functools.partial(self._conversations.store.release, self.key, self.holder)
        self._conversations.outbox.put(f"the release of {self._name}", release, self._conversations.lock_time)


def _locked(problem: str) -> ConversationLocked:
    return ConversationLocked(problem, param="conversation", retry_after=_RETRY_AFTER)
