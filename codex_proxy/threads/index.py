"""Threads: where each conversation stands in Codex, found by what its client repeats of it. In memory, bounded.

A branch is one line of a conversation, as the trace that it has left in Codex; a point is a place in it at which an
answer of ours ended. A history that leads to two points which are not the same belongs to neither.
"""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

import msgspec

from codex_proxy.threads.digest import rolling
from codex_proxy.turns import History, Keep, Trace, Turn

MOST_BYTES = 64 * 1024 * 1024
_MOST_POINTS = 50_000


class _Branch:
    def __init__(self, owner: str, trace: Trace) -> None:
        self.owner = owner
        self.trace = trace  # as it stands at the branch's end
        self.points: set[bytes] = set()
        self.used = 0.0

    @property
    def size(self) -> int:
        return len(self.trace.content) + sum(map(len, self.trace.items))


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
                content = point.branch.trace.content[: point.length]
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
            self._points[digest] = _Point(branch, msgspec.structs.replace(trace, content=b""), len(trace.content))
            branch.points.add(digest)
        self._evict()

    def forget(self, thread: str) -> None:
        """Drop what is known of a thread: the CLI could not go on with it."""
        for branch in [branch for branch in self._branches if branch.trace.thread == thread]:
            self._drop(branch)

    def _branch(self, owner: str, before: Trace | None, trace: Trace) -> _Branch:
        """The branch whose end the turn began at, now longer; else a new one."""
        goes_on = before is not None and before.thread == trace.thread  # another thread shares nothing with what it was given
        branch = None if not goes_on else next((one for one in reversed(self._branches) if one.trace == before), None)
        if branch is None or branch.owner != owner:
            branch = _Branch(owner, trace)
        else:
            self._bytes[owner] -= branch.size
            branch.trace = trace
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
