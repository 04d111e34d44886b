"""Followers: open streams of something that runs anyway, a background response or the server's state.

Each follower costs time with every event: 400 of one response took half a core at ten words a second. The limit for the
server's state is higher, because its frames are built once for all readers, and people leave pages open.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from codex_proxy.errors import RateLimited

_RETRY_AFTER = 10.0  # seconds


class Followers:
    """Counts the followers on this instance by caller; limits the total, and the number per caller."""

    def __init__(self, most: int, of_one_caller: int) -> None:
        self._most = most
        self._of_one_caller = of_one_caller
        self._open = Counter[str]()

    @property
    def total(self) -> int:
        return self._open.total()

    def check(self, caller: str) -> None:
        """Raise RateLimited if there is no room for one more."""
        if self._open[caller] >= self._of_one_caller:
            problem = f"Too many open streams: a caller can follow {self._of_one_caller} at once. Close one first."
            raise RateLimited(problem, retry_after=_RETRY_AFTER)
        if self.total >= self._most:
            raise RateLimited(f"Too many open streams: all callers together can follow {self._most}.", retry_after=_RETRY_AFTER)

    @contextmanager
    def one(self, caller: str) -> Iterator[None]:
        """Count one follower until the block ends."""
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]
