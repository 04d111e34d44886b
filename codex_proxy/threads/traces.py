"""Traces: which conversation a turn continues, as the index of this process and the store know it, and what is kept of it.

The store has the last two traces of each line of a conversation, so that it outlives this process, and another instance
finds it. It is asked before each turn, because another instance may have gone on, or may know that a history fits two
conversations; where it does not answer in time, what the client has sent is all there is. It is told when an answer has
ended, behind everybody's back. Nothing of a private conversation gets there.
"""

import asyncio
import logging
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from codex_proxy.errors import StorageFull, StoreUnavailable
from codex_proxy.history import Called, History, Message, Verbatim
from codex_proxy.store.base import Store, StoredTrace
from codex_proxy.tasks import see_out, spawn
from codex_proxy.threads.digest import rolling
from codex_proxy.threads.index import Threads
from codex_proxy.turns import Keep, Trace, Turn

_log = logging.getLogger(__name__)

_LOOKED_FOR = 32  # places of a history, the latest first
_FOUND_WITHIN = 0.5  # seconds; it takes one millisecond
_NOT_ASKED_FOR = 5.0  # seconds, after a store has not answered
_WRITTEN_WITHIN = 0.1  # seconds that the end of an answer waits, so that another instance can go on at once
_LAST_WRITES = 5.0  # seconds that a stop waits
_MOST_UNWRITTEN = 32 * 1024 * 1024  # bytes; a store that is slower than that does not get all
_QUICKLY_READ = 65_536  # bytes


class _Write(msgspec.Struct, frozen=True):
    """What the store does not have yet. `instead`: the name of what it need not have any more."""

    owner: str
    trace: Trace
    instead: str

    @property
    def size(self) -> int:
        return len(self.trace.content) + sum(map(len, self.trace.items))


class Traces:
    """Found by their digests. `shared`: other instances have the same store."""

    def __init__(self, store: Store, lifetime: float, *, shared: bool) -> None:
        self.threads = Threads(lifetime)
        self._store = store
        self._lifetime = lifetime
        self._shared = shared
        self._unwritten: deque[_Write] = deque()
        self._bytes = 0  # of those
        self._more = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._asked_again = 0.0  # monotonic seconds

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Write what is remembered until the block ends, and then what is left."""
        task = spawn("keep conversations", self._write_for_ever())
        try:
            yield
        finally:
            await self._settle(_LAST_WRITES)
            await see_out(task)

    async def continued(self, turn: Turn, digests: Sequence[bytes], owner: str, *, private: bool) -> Turn:
        """The turn, with the latest point that its history has passed, where there is one.

        `digests`: as `digest.of_turn` has them; `private`: nothing may be left on disk.
        """
        keep: Keep = "memory" if private else "disk"
        turn = msgspec.structs.replace(turn, digest=digests[-1], keep=keep, record=turn.record or private)
        places = _places(turn.history, digests)
        stored = await self._stored(owner, places)
        if stored is None:
            return turn
        found = self.threads.latest(digests[:-1], {bytes.fromhex(name) for name in stored.ambiguous})
        covered = places.get(stored.name, 0)
        if found is not None and found.covered >= covered:
            content = found.read() if found.size <= _QUICKLY_READ else await asyncio.to_thread(found.read)
            return _going_on(turn, found.covered, msgspec.structs.replace(found.trace, content=content))
        if not covered:
            return turn
        try:
            return _going_on(turn, covered, await asyncio.to_thread(_unpacked, stored.content))
        except (msgspec.MsgspecError, zlib.error) as error:
            _log.warning("a conversation in the store cannot be read: %s", error)
            return turn

    def remember(self, owner: str, turn: Turn, answer: tuple[History, ...], trace: Trace | None) -> None:
        """Keep where a turn has ended, with what the client has been given as its answer."""
        if trace is None or not answer:
            return
        digest = rolling(turn.digest, answer)[-1]
        before = turn.trace.kept_as[:1] if turn.trace else ()
        trace = msgspec.structs.replace(trace, kept_as=(digest.hex(), *before) if turn.keep == "disk" else ())
        self.threads.remember(owner, digest, turn.trace, trace)
        if turn.keep == "disk":
            self._write_later(owner, trace, turn.trace)

    async def settled(self) -> None:
        """Wait until other instances can go on with what has been remembered, or until that takes too long."""
        if self._shared and not self._settled.is_set():
            await self._settle(_WRITTEN_WITHIN)

    async def _settle(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            _log.info("the store has not taken a conversation in time")

    async def _stored(self, owner: str, places: dict[str, int]) -> StoredTrace | None:
        """What the store has at these places; None when it does not answer."""
        if not places:
            return StoredTrace()
        if time.monotonic() < self._asked_again:
            return None
        try:
            async with asyncio.timeout(_FOUND_WITHIN):
                return await self._store.trace(owner, list(places))
        except (TimeoutError, StorageFull, StoreUnavailable) as error:
            _log.warning(
                "conversations begin anew, because the store does not answer: %s", getattr(error, "detail", "") or "too slow"
            )
            self._asked_again = time.monotonic() + _NOT_ASKED_FOR
            return None

    def _write_later(self, owner: str, trace: Trace, before: Trace | None) -> None:
        instead = before.kept_as[1] if before and len(before.kept_as) > 1 else ""
        write = _Write(owner, trace, instead)
        if self._bytes + write.size <= _MOST_UNWRITTEN:
            self._bytes += write.size
            self._unwritten.append(write)
            self._settled.clear()
            self._more.set()

    async def _write_for_ever(self) -> None:
        while True:
            await self._more.wait()
            while self._unwritten:
                await self._write(self._unwritten[0])
                self._bytes -= self._unwritten.popleft().size
            self._more.clear()
            self._settled.set()

    async def _write(self, write: _Write) -> None:
        content = await asyncio.to_thread(_packed, write.trace)
        name, identity = write.trace.kept_as[0], write.trace.id
        try:
            await self._store.keep_trace(write.owner, name, identity, content, self._lifetime, write.instead)
        except (StorageFull, StoreUnavailable) as error:
            _log.info("a conversation is kept in memory only: %s %s", error, error.detail)


def _places(history: Sequence[History], digests: Sequence[bytes]) -> dict[str, int]:
    """Where an answer of ours may have ended, the latest first: the name under which it would be kept, and what it covers."""
    places: dict[str, int] = {}
    for covered in range(len(history), 0, -1):
        item = history[covered - 1]
        if isinstance(item, Verbatim | Called) or (isinstance(item, Message) and item.role == "assistant"):
            places.setdefault(digests[covered].hex(), covered)
            if len(places) == _LOOKED_FOR:
                break
    return places


def _going_on(turn: Turn, covered: int, trace: Trace) -> Turn:
    return msgspec.structs.replace(turn, covered=covered, trace=trace)


def _packed(trace: Trace) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(trace), 1)


def _unpacked(content: bytes) -> Trace:
    return _decoder.decode(zlib.decompress(content))


_decoder = msgspec.msgpack.Decoder(Trace)
