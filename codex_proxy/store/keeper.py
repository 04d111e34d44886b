"""Store: what every keeper of responses can do; `memory`, `sqlite` and `redis` are the keepers.

Rules: a record belongs to its owner, and to everybody else it does not exist. A record that runs has a holder, the
instance that runs it; a holder that does not renew its lease is dead, and what it held is failed, never run again.
Every call is one atomic step, and raises StoreUnavailable or StorageFull when it cannot be done.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

RUNNING = ("queued", "in_progress")
ENDED_MESSAGE = "The response has ended already."


class StoredEvent(msgspec.Struct, frozen=True):
    """One event of a stream: its sequence number, its type, its JSON."""

    number: int
    type: str
    content: bytes


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One response.

    `status` and `body` are the response object's, as of its last change; `input_items` are the request's, as a JSON array.
    `conversation` is all that a continuation needs, as JSON. `cancel_wanted`: somebody wants the holder to stop it.
    """

    id: str
    owner: str
    created_at: int  # seconds since the epoch
    status: str
    body: bytes
    input_items: bytes
    conversation: bytes = b"[]"
    holder: str | None = None
    cancel_wanted: bool = False

    @property
    def size(self) -> int:
        """Bytes that count for the bound of the store, without the events."""
        return len(self.body) + len(self.input_items) + len(self.conversation)


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key in use: the hash of the body that it came with, and the answer once there is one."""

    fingerprint: str
    answer: bytes | None = None


class Store(Protocol):
    """Durations are seconds; `now` is seconds since the epoch."""

    async def create(self, record: Record) -> None:
        """Keep a new record."""

    async def update(self, changed: Record, events: Sequence[StoredEvent] = ()) -> bool:
        """Replace a record of the same id and append events; False when it has been deleted meanwhile.

        `cancel_wanted` is not changed by this. Raises RecordEnded, and writes nothing, when the record has ended. The same
        end again, status and body, is no error: whoever did not hear that it was written may write it again.
        """

    async def get(self, owner: str, record_id: str) -> Record | None:
        """The owner's record."""

    async def delete(self, owner: str, record_id: str) -> bool:
        """Forget a record and its events; False when there was none."""

    async def want_cancel(self, owner: str, record_id: str) -> bool:
        """Have the holder of a running record stop it; False when there is no such record that runs."""

    async def events(self, owner: str, record_id: str, after: int) -> list[StoredEvent]:
        """The events of a record whose number is greater than `after`, in order; of a bounded number of them at most."""

    async def changed(self, record_id: str, timeout: float) -> None:
        """Wait until a record or a claim (by its key) has been changed, by whatever instance, but not longer than `timeout`.

        May come back early, so that a change between the caller's look and its wait is not missed.
        """

    async def claim(self, key: str, fingerprint: str, ttl: float) -> Claim | None:
        """Claim an idempotency key. None: it is ours now. Else: what it was claimed for."""

    async def answer(self, key: str, answer: bytes) -> None:
        """Keep the answer of a key that we claimed."""

    async def release(self, key: str) -> None:
        """Give up a key that we claimed, because nothing was done for it."""

    async def renew(self, holder: str, lease: float) -> None:
        """Say that an instance lives, for `lease` seconds from now."""

    async def orphans(self) -> list[Record]:
        """The running records whose holder is dead. The caller fails them by `update`."""

    async def sweep(self, now: int) -> None:
        """Forget what is too old, and the oldest of what is too much."""

    async def close(self) -> None:
        """Let go of files and connections."""
