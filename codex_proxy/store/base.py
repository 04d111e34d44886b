"""Store: the interface that the stores `memory`, `sqlite` and `redis` implement.

Rules: a record belongs to its owner and does not exist for anyone else. A running record has a holder, the instance that runs it; a
holder that does not renew its lease is dead, and its records are failed, never run again. Every call is one atomic step, and raises
StoreUnavailable or StorageFull if it cannot be done.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from codex_proxy.store.rates import Hit

Order = Literal["asc", "desc"]
RUNNING = ("queued", "in_progress")
CONVERSATION = "conversation"  # the status of a record that is a conversation: its events are its items
EVENTS_BYTES = 1024 * 1024  # of the events that are read at once, unless one has more: a slow follower holds them
UNREADABLE = (AttributeError, LookupError, RuntimeError, TypeError, ValueError, msgspec.MsgspecError)  # what such an answer raises
ENDED_MESSAGE = "The response has ended already."


class StoredEvent(msgspec.Struct, frozen=True):
    """An event of a stream: sequence number, type, JSON."""

    number: int
    type: str
    content: bytes


class StoredPart(msgspec.Struct, frozen=True):
    """A part that a response added to its conversation, a JSON array; `number` is that of the first item."""

    number: int
    content: bytes


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The mutable state of a response, and its owner.

    `status` and `body` are those of the response object, as of its last change. `cancel_wanted` asks the holder to stop it.
    `last_event` is the highest number that an event was stored with; if that event is missing, events were lost.
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
    """A change to a running record. What is stored is not written again: `body` is None if unchanged.

    A part or an event replaces the stored one with its number, so a change whose reply got lost can be retried. `after`, of a
    writer that is not the holder, is the last event that it has read: the holder may live after all, and has the next number too.
    """

    id: str
    status: str
    after: int | None = None
    body: bytes | None = None
    parts: Sequence[StoredPart] = ()
    events: Sequence[StoredEvent] = ()

    @property
    def size(self) -> int:
        """The bytes that the parts and events add."""
        return sum(len(part.content) for part in self.parts) + sum(len(event.content) for event in self.events)

    @property
    def last_event(self) -> int:
        return max((event.number for event in self.events), default=-1)


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """A change to a conversation; `body` is None if unchanged.

    An item is an event: its number is its position, its type its id. `after` is the number of the last event that the caller has
    read, and added events come after it; `removed` are events as they were read.
    """

    id: str
    at: int  # seconds since the epoch; the conversation now counts as created at that time
    after: int
    body: bytes | None = None
    added: Sequence[StoredEvent] = ()
    removed: Sequence[StoredEvent] = ()

    @property
    def last_event(self) -> int:
        return max((event.number for event in self.added), default=self.after)


class Extent(msgspec.Struct, frozen=True):
    """How many items a conversation has, and the bytes of all that is stored of it."""

    items: int
    size: int


class Page(msgspec.Struct, frozen=True):
    """Items of a conversation, and whether there are more."""

    items: list[StoredEvent]
    more: bool


class Sizes(msgspec.Struct, frozen=True):
    """The bytes of what is stored of a response: what a reader can learn before reading it."""

    body: int
    input_items: int
    conversation: int  # with its parts


class Listed(msgspec.Struct, frozen=True):
    """An entry of a list: a record and its input items."""

    record: Record
    input_items: bytes


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key in use: the hash of its request body, and the answer once there is one.

    `response_id` names the record that tells how the request went; an answer of b"" means that it is no longer stored. A `holder`
    that an instance has named is the instance's name, a point, and what is the request's alone.
    """

    fingerprint: str
    answer: bytes | None = None
    response_id: str | None = None
    holder: str = ""

    @property
    def instance(self) -> str | None:
        """The name of the instance that holds it; None if its holder does not tell."""
        name, point, _ = self.holder.partition(".")
        return name if point else None


class StoredTrace(msgspec.Struct, frozen=True):
    """The trace found under the first unambiguous name; `ambiguous` are the names that two conversations share."""

    name: str = ""
    content: bytes = b""
    ambiguous: frozenset[str] = frozenset()


class Store(Protocol):
    """A store of responses. Durations are in seconds; `now` is in seconds since the epoch. `failures` counts errors by code."""

    failures: Counter[str]

    async def create(self, record: Record, input_items: bytes, conversation: bytes) -> None:
        """Create a record; an existing one with this id is left unchanged.

        `input_items` are those of the request, and `conversation` is what its turn begins with, both as JSON arrays.
        """

    async def update(self, change: Change) -> bool:
        """Change a running record. Returns False if it has been deleted.

        Raises RecordEnded, without writing anything, if the record has ended, or has had events since `after`. Repeating the same
        end, status and body, is not an error: a writer that did not learn of its success may retry.
        """

    async def amend(self, owner: str, amendment: Amendment) -> bool:
        """Change the owner's conversation. Returns False if there is none, or its last event is no longer the caller's."""

    async def get(self, owner: str, record_id: str) -> Record | None:
        """Return the owner's record."""

    async def input_items(self, owner: str, record_id: str) -> bytes | None:
        """Return the input items as given to `create`."""

    async def sizes(self, owner: str, record_id: str) -> Sizes | None:
        """Return the sizes of the owner's response; None if there is none."""

    async def conversation(self, owner: str, record_id: str) -> list[bytes] | None:
        """Return all that a continuation needs: the conversation given to `create`, then the parts in order."""

    async def latest(self, owner: str, limit: int, most: int, after: str = "") -> tuple[list[Listed], str]:
        """Return the owner's responses, latest first, and the `after` of the next page, empty if there are no more.

        No more than about `most` bytes are read, but always one response. A page may hold fewer than `limit` responses and not be
        the last. `after` consists of digits and at most one point.
        """

    async def delete(self, owner: str, record_id: str) -> bool:
        """Delete a record and its events. Returns False if there was none."""

    async def want_cancel(self, owner: str, record_id: str) -> bool:
        """Ask the holder of a running record to stop it. Returns False if there is no such running record."""

    async def events(self, owner: str, record_id: str, after: int) -> list[StoredEvent]:
        """Return a bounded number of a record's events numbered above `after`, in order."""

    async def find(self, owner: str, record_id: str, types: Sequence[str]) -> list[StoredEvent]:
        """Return the items of a conversation that have these types, which are their ids."""

    async def page(self, owner: str, record_id: str, limit: int, order: Order, beyond: int | None, most: int) -> Page:
        """Return up to `limit` items of a conversation in this order, from the first one beyond the number `beyond`.

        No more than about `most` bytes of items are read, but always one.
        """

    async def extent(self, owner: str, record_id: str) -> Extent | None:
        """Return how much the owner's conversation has; None if there is none."""

    async def changed(self, record_id: str, timeout: float) -> None:
        """Wait until a record, or a claim (by its key), is changed by any instance, at most `timeout` seconds.

        May return early, so that no change between the caller's read and its wait is missed.
        """

    async def claim(self, key: str, owner: str, fingerprint: str, holder: str, lease: float) -> Claim | None:
        """Claim an idempotency key for `holder`, which stands for one request, for `lease` seconds.

        Returns None if the holder has it now, even if it had it before; otherwise the existing claim.
        """

    async def bind(self, key: str, holder: str, ttl: float, response_id: str | None) -> bool:
        """Extend a claim to `ttl` seconds from now; call before acting on it. Returns False if the holder no longer has it."""

    async def answer(self, key: str, holder: str, answer: bytes) -> None:
        """Store the answer of a key, if the holder has it."""

    async def release(self, key: str, holder: str) -> None:
        """Release a key that nothing was done for, if the holder has it and there is no answer."""

    async def keep_trace(self, owner: str, name: str, identity: str, content: bytes, ttl: float, instead: str) -> None:
        """Keep the trace of a conversation under `name` for `ttl` seconds, and drop the one under `instead`.

        A trace under `name` with another identity is another conversation: the name is then ambiguous, as it is with an empty one.
        """

    async def trace(self, owner: str, names: Sequence[str]) -> StoredTrace:
        """Return the owner's trace under the first of these names that is not ambiguous."""

    async def renew(self, holder: str, lease: float) -> None:
        """Renew an instance's lease for `lease` seconds from now."""

    async def alive(self, holder: str) -> bool:
        """Return False if an instance has no lease, and nothing of it is there: it has died, and does not only sleep."""

    async def orphans(self) -> list[Record]:
        """Return the running records whose holder is dead. The caller fails them with `update`."""

    async def held(self, holder: str) -> list[Record]:
        """Return a holder's running records."""

    async def hit(self, caller: str, amount: int, window: float) -> Hit | None:
        """Count a caller's request across all instances, if there were fewer than `amount` in the last `window` seconds.

        Returns None if the store has no count shared by instances.
        """

    async def sweep(self, now: int) -> None:
        """Forget what is too old, and the oldest records beyond the size bound."""

    async def close(self) -> None:
        """Close files and connections."""
