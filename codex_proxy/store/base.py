"""Store: what every store of responses can do; `memory`, `sqlite` and `redis` are the stores.

Rules: a record belongs to its owner, and to everybody else it does not exist. A record that runs has a holder, the
instance that runs it; a holder that does not renew its lease is dead, and what it held is failed, never run again.
Every call is one atomic step, and raises StoreUnavailable or StorageFull when it cannot be done.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import msgspec

from codex_proxy.store.rates import Hit

RUNNING = ("queued", "in_progress")
CONVERSATION = "conversation"  # the status of a record that is a conversation: its items are its events
ENDED_MESSAGE = "The response has ended already."


class StoredEvent(msgspec.Struct, frozen=True):
    """One event of a stream: its sequence number, its type, its JSON."""

    number: int
    type: str
    content: bytes


class StoredPart(msgspec.Struct, frozen=True):
    """A part of a conversation that a response has added, as a JSON array; `number` is that of its first item."""

    number: int
    content: bytes


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What changes of a response while it is made, and whose it is.

    `status` and `body` are the response object's, as of its last change. `cancel_wanted`: somebody wants the holder to stop
    it. `last_event`: the highest number of its events, by the store's count; fewer means that some are lost.
    """

    id: str
    owner: str
    created_at: int  # seconds since the epoch
    status: str
    body: bytes
    holder: str | None = None
    cancel_wanted: bool = False
    last_event: int = -1

    @property
    def running(self) -> bool:
        return self.status in RUNNING

    @property
    def of_response(self) -> bool:
        return self.status != CONVERSATION


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a running record. What was written once is not written again: `body` is None while it is the same.

    A part or an event of a number that is there already replaces it, so a change whose answer got lost can be made again.
    """

    id: str
    status: str
    body: bytes | None = None
    parts: Sequence[StoredPart] = ()
    events: Sequence[StoredEvent] = ()

    @property
    def size(self) -> int:
        """Bytes that the parts and events add."""
        return sum(len(part.content) for part in self.parts) + sum(len(event.content) for event in self.events)

    @property
    def last_event(self) -> int:
        return max((event.number for event in self.events), default=-1)


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a conversation at a time; `body` is None while it is the same.

    An item is an event: its number is its place, its type its id. `after` is the number of the last event as the caller
    has read it, and those that are added come after it; `removed` are events as they were read.
    """

    id: str
    at: int  # seconds since the epoch; from now on it is as old as if it had been created then
    after: int
    body: bytes | None = None
    added: Sequence[StoredEvent] = ()
    removed: Sequence[StoredEvent] = ()

    @property
    def last_event(self) -> int:
        return max((event.number for event in self.added), default=self.after)


class Listed(msgspec.Struct, frozen=True):
    """A record in a list of them, with its input items."""

    record: Record
    input_items: bytes


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key in use: the hash of the body that it came with, and the answer once there is one.

    `response_id` is that of the record which says how it went; b"" is an answer that there was and is no longer kept.
    """

    fingerprint: str
    answer: bytes | None = None
    response_id: str | None = None


class StoredTrace(msgspec.Struct, frozen=True):
    """What is kept of a conversation under the first of some names; `ambiguous`: under which two conversations are."""

    name: str = ""
    content: bytes = b""
    ambiguous: frozenset[str] = frozenset()


class Store(Protocol):
    """Durations are seconds; `now` is seconds since the epoch. `failures` counts the errors met, by our code."""

    failures: Counter[str]

    async def create(self, record: Record, input_items: bytes, conversation: bytes) -> None:
        """Keep a new record; one of this id that is there already stays as it is.

        `input_items` are the request's, as a JSON array, and `conversation` is what its turn begins with, as a JSON array.
        """

    async def update(self, change: Change) -> bool:
        """Change a running record; False when it has been deleted meanwhile.

        Raises RecordEnded, and writes nothing, when the record has ended. The same end again, status and body, is no
        error: a writer that did not hear of its success may write it again.
        """

    async def amend(self, owner: str, amendment: Amendment) -> bool:
        """Change the owner's conversation; False when there is none, or its last event is not the caller's any more."""

    async def get(self, owner: str, record_id: str) -> Record | None:
        """The owner's record."""

    async def input_items(self, owner: str, record_id: str) -> bytes | None:
        """As `create` got them."""

    async def conversation(self, owner: str, record_id: str) -> list[bytes] | None:
        """All that a continuation needs: what `create` got, and the parts in order."""

    async def latest(self, owner: str, limit: int, after: str = "") -> tuple[list[Listed], str]:
        """The owner's responses, latest first, and where to go on: the next call's `after`, empty when there are no more.

        There may be fewer than `limit` and still more to come. A place is digits with at most one point in them.
        """

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

    async def claim(self, key: str, owner: str, fingerprint: str, holder: str, lease: float) -> Claim | None:
        """Claim an idempotency key for one request, its holder, for `lease` seconds.

        None: it is the holder's, also when it was already. Else: what it was claimed for.
        """

    async def bind(self, key: str, holder: str, ttl: float, response_id: str | None) -> bool:
        """Before anything is done for it: have a claim last `ttl` seconds from now. False: it is no longer the holder's."""

    async def answer(self, key: str, holder: str, answer: bytes) -> None:
        """Keep the answer of a key, if it is the holder's."""

    async def release(self, key: str, holder: str) -> None:
        """Give up a key, if it is the holder's and has no answer, because nothing was done for it."""

    async def keep_trace(self, owner: str, name: str, identity: str, content: bytes, ttl: float, instead: str) -> None:
        """Keep what is left of a conversation under a name, for `ttl` seconds; nothing any more under the name `instead`.

        What is there already with another identity is another conversation: from then on the name is ambiguous.
        """

    async def trace(self, owner: str, names: Sequence[str]) -> StoredTrace:
        """Of the owner's traces, the one under the first of these names that is not ambiguous."""

    async def renew(self, holder: str, lease: float) -> None:
        """Say that an instance lives, for `lease` seconds from now."""

    async def orphans(self) -> list[Record]:
        """The running records whose holder is dead. The caller fails them by `update`."""

    async def held(self, holder: str) -> list[Record]:
        """The running records of a holder."""

    async def hit(self, caller: str, amount: int, window: float) -> Hit | None:
        """Count a request of a caller among all instances, if there were fewer than `amount` in the last `window` seconds.

        None: no other instance counts with us.
        """

    async def sweep(self, now: int) -> None:
        """Forget what is too old, and the oldest of what is too much."""

    async def close(self) -> None:
        """Let go of files and connections."""
