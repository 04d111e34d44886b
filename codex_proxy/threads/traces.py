"""Find the conversation that a turn continues, in the index of this process and in the store, and keep its trace.

The store has the last two traces of each line of a conversation, so that it survives this process and other instances find it.
The store is queried before each turn, because another instance may have continued the conversation, or may know that a history
is ambiguous; if the store does not answer in time, only what the client sent is used. Traces are written in the background after
an answer has ended. Nothing of a private conversation is written.
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

_LOOKED_FOR = 32  # positions of a history that are looked up, latest first
_FOUND_WITHIN = 0.5  # seconds for a lookup in the store, which takes one millisecond
_NOT_ASKED_FOR = 5.0  # seconds without lookups after one has failed
_WRITTEN_WITHIN = 0.1  # seconds that the end of an answer waits for the write, so that other instances can continue at once
_LAST_WRITES = 5.0  # seconds that a shutdown waits for writes
_MOST_UNWRITTEN = 32 * 1024 * 1024  # bytes; further traces are not written while a slow store has this backlog
_QUICKLY_READ = 65_536  # bytes; larger contents are decompressed in a thread


class _Write(msgspec.Struct, frozen=True):
    """A pending write to the store: a trace, or None if its name is to find none. `instead`: the name of a trace to be removed."""

    owner: str
    name: str
    trace: Trace | None
    instead: str = ""

    @property
    def size(self) -> int:
        return len(self.trace.content) + sum(map(len, self.trace.items)) if self.trace is not None else 0


class Traces:
    """Traces by digest, in memory and in the store. `shared`: other instances use the same store."""

    def __init__(self, store: Store, lifetime: float, *, shared: bool) -> None:
        self.threads = Threads(lifetime)
        self._store = store
        self._lifetime = lifetime
        self._shared = shared
        self._unwritten: deque[_Write] = deque()
        self._bytes = 0  # total size of the unwritten traces
        self._more = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._asked_again = 0.0  # monotonic seconds

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Write traces in the background until the block ends, and the remaining ones then."""
        task = spawn("keep conversations", self._write_for_ever())
        try:
            yield
        finally:
            await self._settle(_LAST_WRITES)
            await see_out(task)

    async def continued(self, turn: Turn, digests: Sequence[bytes], owner: str, *, private: bool) -> Turn:
        """The turn with the latest known trace of its conversation, if there is one.

        `digests` come from `digest.of_turn`; with `private`, nothing may be left on disk.
        """
        keep: Keep = "memory" if private else "disk"
        turn = msgspec.structs.replace(turn, digest=digests[-1], keep=keep, record=turn.record or private)
        places = _places(turn.history, digests)
        stored = await self._stored(owner, places)
        if stored is None:
            return turn
        found = self.threads.latest(digests[:-1], {bytes.fromhex(name) for name in stored.ambiguous})
        # The store may not have the second of two conversations yet, or ever: it has nothing of private ones.
        apart = bool(stored.name) and not self.threads.is_ambiguous(bytes.fromhex(stored.name))
        covered = places.get(stored.name, 0) if apart else 0
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
        """Keep the trace of a turn that has ended with this answer to the client.

        Without a trace, its history is not to find that of another conversation, which would be the same word for word.
        """
        if not answer or turn.keep == "nowhere":
            return
        digest = rolling(turn.digest, answer)[-1]
        if trace is None:
            self.threads.rule_out(owner, digest)
            if turn.keep == "disk":
                self._write_later(_Write(owner, digest.hex(), None))
            return
        before = turn.trace.kept_as[:1] if turn.trace else ()
        trace = msgspec.structs.replace(trace, kept_as=(digest.hex(), *before) if turn.keep == "disk" else ())
        self.threads.remember(owner, digest, turn.trace, trace)
        if turn.keep == "disk":
            former = turn.trace.kept_as[1:2] if turn.trace else ()
            self._write_later(_Write(owner, digest.hex(), trace, *former))

    async def settled(self) -> None:
        """Wait a short while until other instances can find what has been remembered."""
        if self._shared and not self._settled.is_set():
            await self._settle(_WRITTEN_WITHIN)

    async def _settle(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            _log.info("the store has not taken a conversation in time")

    async def _stored(self, owner: str, places: dict[str, int]) -> StoredTrace | None:
        """The store's latest trace at these positions, and which of them are ambiguous; None when it does not answer."""
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

    def _write_later(self, write: _Write) -> None:
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
        identity, content = "", b""
        if write.trace is not None:
            await self.threads.compress(write.trace)
            identity, content = write.trace.id, await asyncio.to_thread(_packed, write.trace)
        try:
            await self._store.keep_trace(write.owner, write.name, identity, content, self._lifetime, write.instead)
        except (StorageFull, StoreUnavailable) as error:
            _log.info("a conversation is kept in memory only: %s %s", error, error.detail)


def _places(history: Sequence[History], digests: Sequence[bytes]) -> dict[str, int]:
    """Positions where an answer of ours may have ended, latest first: the trace's name in the store, and the items it covers."""
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
