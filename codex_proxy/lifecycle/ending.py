"""Ending: the end of a response on its way into the store: the last change of its record, and what it adds to its conversation.

Both or none: of a response whose record had been ended otherwise by then, nothing is left in the conversation. The conversation
is free for the next response when the record tells the end.
"""

import asyncio

from codex_proxy.dialects.responses.stream import ResponsesStream
from codex_proxy.errors import ProxyError, RecordEnded, StoreUnavailable
from codex_proxy.lifecycle.parts import Part
from codex_proxy.store.base import Change, Store

_WRITTEN_WITHIN = 8.0  # seconds that a reader waits: one beat, and one store call that hangs


class Ending:
    """The end of one response, whose stream has ended. `change` is None if it has no record, `part` if it has no conversation."""

    def __init__(self, store: Store, owner: str, stream: ResponsesStream, change: Change | None, part: Part | None) -> None:
        self.lost: str | None = None  # how the record had ended instead
        self._written = asyncio.Event()
        self._store = store
        self._owner = owner
        self._response = stream.response
        self._failure = stream.failure
        self._change = change
        self._part = part

    async def write(self, *, adds: bool) -> None:
        """Write the end; with `adds`, the response becomes part of its conversation. Idempotent.

        Sets `lost` if the record had ended otherwise. Raises StorageFull and StoreUnavailable.
        """
        if self._part is not None and adds:
            await (self._part.withdraw() if await self._ended_elsewhere() else self._part.add(self._response))
        try:
            if self._change is not None:
                await self._store.update(self._change)
        except RecordEnded:
            record = await self._store.get(self._owner, self._response.id)
            self.lost = "deleted" if record is None else record.status
            if self._part is not None:
                await self._part.withdraw()
        if self._part is not None:
            await self._part.release()
        self._written.set()

    async def written(self) -> None:
        """Wait until the end is written. Raises why the turn failed, or else StoreUnavailable, if it is not in time, or is lost."""
        try:
            async with asyncio.timeout(_WRITTEN_WITHIN):
                await self._written.wait()
        except TimeoutError:
            later = (
                "added to its conversation yet." if self._change is None else f"stored yet. Retrieve it later: {self._response.id}"
            )
            raise self._failed(f"The turn has ended, but its response could not be {later}") from None
        if self.lost is not None:
            raise self._failed(f"The record of the response {self._response.id} was ended by another server: {self.lost}.")

    def _failed(self, message: str) -> ProxyError:
        return self._failure or StoreUnavailable(message, begun=True)

    async def _ended_elsewhere(self) -> bool:
        """Return whether the record has been deleted, or has ended otherwise."""
        if self._change is None:
            return False
        record = await self._store.get(self._owner, self._response.id)
        return record is None or not (record.running or record.status == self._response.status)
