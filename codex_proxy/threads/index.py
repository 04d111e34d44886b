"""An in-memory index, bounded in size, that finds a conversation's trace in Codex by the history that a client sends.

A branch is one line of a conversation, with the trace it has left in Codex; a point is a position in it where an answer of ours
ended. A digest that belongs to two different points is ambiguous and finds neither; so is one of a turn that has left no trace.
"""

import asyncio
import time
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Sequence

import msgspec

from codex_proxy.turns import Trace

MOST_BYTES = 8 * 1024 * 1024  # about a thousand conversations of several turns
_COMPRESSED_AT_ONCE = 65_536  # bytes, which takes a millisecond; more is left to `Threads.compress`
_POINT_BYTES = 600  # memory of a point, without the content of its branch


class _Branch:
    """One line of a conversation. Its content is compressed, because much of it is the same context from Codex."""

    def __init__(self, owner: str, trace: Trace) -> None:
        self.owner = owner
        self.points: set[bytes] = set()
        self.used = 0.0
        self.grow(trace)

    @property
    def size(self) -> int:
        return len(self._content) + sum(map(len, self._end.items)) + _POINT_BYTES * len(self.points)

    def grow(self, trace: Trace) -> None:
        """Extend the branch to a new trace."""
        self._end = without_content(trace)
        self._compressed = len(trace.content) <= _COMPRESSED_AT_ONCE
        self._content = zlib.compress(trace.content, 1) if self._compressed else trace.content

    async def compressed(self) -> bytes | None:
        """The content, compressed in a thread; None when it is compressed already or has changed in the meantime."""
        if self._compressed:
            return None
        content = self._content
        packed = await asyncio.to_thread(zlib.compress, content, 1)
        return packed if self._content is content else None

    def replace(self, packed: bytes) -> None:
        """Keep the same content in its compressed form."""
        self._content, self._compressed = packed, True

    def ends_at(self, trace: Trace) -> bool:
        return self._end.id == trace.id

    def reader(self, length: int) -> Callable[[], bytes]:
        """A function that returns the first `length` bytes of the present content; it may run in any OS thread."""
        content, compressed = self._content, self._compressed
        return lambda: (zlib.decompress(content) if compressed else content)[:length]


class _Point(msgspec.Struct, frozen=True):
    branch: _Branch
    trace: Trace  # without its content, the first `length` bytes of the branch's content
    length: int


class Found(msgspec.Struct, frozen=True):
    """A point that was found. It covers `covered` items of the history; `read` returns its `size` bytes, slowly if many."""

    covered: int
    trace: Trace  # without its content
    size: int
    read: Callable[[], bytes]


class Threads:
    """The index. `lifetime`: seconds that a conversation is kept after its latest turn; 0 keeps none."""

    def __init__(self, lifetime: float, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._most_bytes = most_bytes
        self._clock = clock
        self._points: dict[bytes, _Point | None] = {}  # by digest; None: ambiguous
        self._branches: OrderedDict[_Branch, None] = OrderedDict()  # least recently used first
        self._bytes: Counter[str] = Counter()  # by owner
        self._ambiguous: deque[tuple[float, str, bytes]] = deque()  # (time, owner, digest), oldest first

    def __len__(self) -> int:
        return len(self._branches)

    @property
    def enabled(self) -> bool:
        return self._lifetime > 0

    def is_ambiguous(self, digest: bytes) -> bool:
        """Whether it belongs to two different points."""
        return digest in self._points and self._points[digest] is None

    def latest(self, digests: Sequence[bytes], ambiguous: Collection[bytes] = ()) -> Found | None:
        """The latest point in a history with these digests, skipping those that are known to be ambiguous."""
        self.forget_old()
        for covered in range(len(digests) - 1, 0, -1):
            if (point := self._points.get(digests[covered])) is not None and digests[covered] not in ambiguous:
                self._use(point.branch)
                return Found(covered, point.trace, point.length, point.branch.reader(point.length))
        return None

    def remember(self, owner: str, digest: bytes, before: Trace | None, trace: Trace) -> None:
        """Remember the trace of a turn that continued `before`. `digest` is that of the history including the answer."""
        branch = self._branch(owner, before, trace)
        if digest not in self._points:
            self._points[digest] = _Point(branch, without_content(trace), len(trace.content))
            branch.points.add(digest)
            self._bytes[owner] += _POINT_BYTES
        else:
            self._make_ambiguous(owner, digest)
        self._evict()

    def rule_out(self, owner: str, digest: bytes) -> None:
        """Have the digest find nothing: it belongs to a conversation without a trace, and may belong to another one with one."""
        self._make_ambiguous(owner, digest)
        self._evict()

    def _make_ambiguous(self, owner: str, digest: bytes) -> None:
        if not self.is_ambiguous(digest):
            self._points[digest] = None
            self._ambiguous.append((self._clock(), owner, digest))
            self._bytes[owner] += _POINT_BYTES

    async def compress(self, trace: Trace) -> None:
        """Compress the branch that ends there if `remember` has not."""
        branch = next((one for one in reversed(self._branches) if one.ends_at(trace)), None)
        if branch is not None and (packed := await branch.compressed()) is not None and branch in self._branches:
            self._bytes[branch.owner] -= branch.size
            branch.replace(packed)
            self._bytes[branch.owner] += branch.size

    def _branch(self, owner: str, before: Trace | None, trace: Trace) -> _Branch:
        """The branch that the turn continued, extended; otherwise a new branch."""
        branch = None
        if before is not None and before.thread == trace.thread:  # another thread has different content
            branch = next((one for one in reversed(self._branches) if one.ends_at(before)), None)
        if branch is None or branch.owner != owner:
            branch = _Branch(owner, trace)
        else:
            self._bytes[owner] -= branch.size
            branch.grow(trace)
        self._bytes[owner] += branch.size
        self._use(branch)
        return branch

    def _use(self, branch: _Branch) -> None:
        self._branches[branch] = None
        self._branches.move_to_end(branch)
        branch.used = self._clock()

    def forget_old(self) -> None:
        """Drop conversations that have expired."""
        limit = self._clock() - self._lifetime
        while self._branches and (oldest := next(iter(self._branches))).used < limit:
            self._drop(oldest)
        while self._ambiguous and self._ambiguous[0][0] < limit:
            self._drop_ambiguous(self._ambiguous[0])

    def _evict(self) -> None:
        while self._bytes.total() > self._most_bytes:
            [(owner, _)] = self._bytes.most_common(1)
            oldest = next((branch for branch in self._branches if branch.owner == owner), None)
            if oldest is not None and len(self._branches) > 1:
                self._drop(oldest)
            elif (mark := next((one for one in self._ambiguous if one[1] == owner), None)) is not None:
                self._drop_ambiguous(mark)
            else:
                break  # one conversation alone may be larger

    def _drop(self, branch: _Branch) -> None:
        del self._branches[branch]
        self._bytes[branch.owner] -= branch.size
        for digest in branch.points:
            if self._points.get(digest) is not None:
                del self._points[digest]

    def _drop_ambiguous(self, one: tuple[float, str, bytes]) -> None:
        self._ambiguous.remove(one)
        self._bytes[one[1]] -= _POINT_BYTES
        self._points.pop(one[2], None)


def without_content(trace: Trace) -> Trace:
    """The trace with an empty content, for when that is kept elsewhere."""
    return msgspec.structs.replace(trace, content=b"")
