"""Threads: where each conversation stands in Codex, found by what its client repeats of it. In memory, bounded.

A branch is one line of a conversation, as the trace that it has left in Codex; a point is a place in it at which an
answer of ours ended. A history that leads to two points which are not the same belongs to neither.
"""

import time
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

import msgspec

from codex_proxy.threads.digest import rolling
from codex_proxy.turns import History, Keep, Trace, Turn

MOST_BYTES = 8 * 1024 * 1024  # about a thousand conversations of some turns
_COMPRESSED_UP_TO = 1024 * 1024  # bytes: more would hold the event loop, and is mostly images
_MOST_POINTS = 50_000


class _Branch:
    """One line of a conversation. Its content is kept compressed: much of it is what Codex tells every model."""

    def __init__(self, owner: str, trace: Trace) -> None:
        self.owner = owner
        self.points: set[bytes] = set()
        self.used = 0.0
        self.grow(trace)

    @property
    def size(self) -> int:
        return len(self._content) + sum(map(len, self._end.items))

    def grow(self, trace: Trace) -> None:
        """It ends there now."""
        self._end = _without_content(trace)
        self._compressed = len(trace.content) <= _COMPRESSED_UP_TO
        self._content = zlib.compress(trace.content, 1) if self._compressed else trace.content

    def ends_at(self, trace: Trace) -> bool:
        return self._end.id == trace.id

    def content(self, length: int) -> bytes:
        """The first so many bytes."""
        whole = zlib.decompress(self._content) if self._compressed else self._content
        return whole[:length]


class _Point(msgspec.Struct, frozen=True):
    branch: _Branch
    trace: Trace  # its content is a beginning of the branch's, and empty here
    length: int


class Threads:
    """`lifetime`: seconds that a conversation is kept after its latest turn; 0 = no conversation is kept."""

    def __init__(self, lifetime: float, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._most_bytes = most_bytes
        self._clock = clock
        self._points: dict[bytes, _Point | None] = {}  # None: it fits more than one conversation
        self._branches: OrderedDict[_Branch, None] = OrderedDict()  # the least recently used first
        self._bytes: Counter[str] = Counter()  # by owner
        self._ambiguous: deque[tuple[float, bytes]] = deque()  # points that fit none, the oldest first

    def __len__(self) -> int:
        return len(self._branches)

    @property
    def enabled(self) -> bool:
        return self._lifetime > 0

    def continued(self, turn: Turn, digests: list[bytes], *, private: bool) -> Turn:
        """The turn with the latest point that its history has passed, where there is one.

        `digests`: as `digest.of_turn` has them; `private`: nothing may be left on disk.
        """
        self.forget_old()
        keep: Keep = "memory" if private else "disk"
        turn = msgspec.structs.replace(turn, digest=digests[-1], keep=keep, record=turn.record or private)
        for covered in range(len(turn.history), 0, -1):
            if (point := self._points.get(digests[covered])) is not None:
                self._use(point.branch)
                content = point.branch.content(point.length)
                return msgspec.structs.replace(turn, trace=msgspec.structs.replace(point.trace, content=content), covered=covered)
        return turn

    def remember(self, owner: str, turn: Turn, answer: tuple[History, ...], trace: Trace | None) -> None:
        """Keep where a turn has ended, with what the client has been given as its answer."""
        if trace is None or not answer:
            return
        digest = rolling(turn.digest, answer)[-1]
        branch = self._branch(owner, turn.trace, trace)
        if digest in self._points:
            self._points[digest] = None
            self._ambiguous.append((self._clock(), digest))
        elif len(self._points) < _MOST_POINTS:
            self._points[digest] = _Point(branch, _without_content(trace), len(trace.content))
            branch.points.add(digest)
        self._evict()

    def _branch(self, owner: str, before: Trace | None, trace: Trace) -> _Branch:
        """The branch whose end the turn began at, now longer; else a new one."""
        branch = None
        if before is not None and before.thread == trace.thread:  # another thread shares nothing with what it was given
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
        """Drop the conversations whose time is over."""
        limit = self._clock() - self._lifetime
        while self._branches and (oldest := next(iter(self._branches))).used < limit:
            self._drop(oldest)
        while self._ambiguous and self._ambiguous[0][0] < limit:
            self._points.pop(self._ambiguous.popleft()[1], None)

    def _evict(self) -> None:
        while self._bytes.total() > self._most_bytes and len(self._branches) > 1:
            [(owner, _)] = self._bytes.most_common(1)
            self._drop(next(branch for branch in self._branches if branch.owner == owner))

    def _drop(self, branch: _Branch) -> None:
        del self._branches[branch]
        self._bytes[branch.owner] -= branch.size
        for digest in branch.points:
            if self._points.get(digest) is not None:
                del self._points[digest]


def _without_content(trace: Trace) -> Trace:
    return msgspec.structs.replace(trace, content=b"")
