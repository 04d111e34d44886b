"""Followers: open streams of what goes on anyway, a background response or the state of the server. Each costs with every event.

400 followers of one response took half a core at ten words a second. Of the server's state more may be open: what is told to
many is made once, and a person leaves pages open.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from codex_proxy.errors import RateLimited

_RETRY_AFTER = 10.0  # seconds


class Followers:
    """How many there are on this instance, by caller; at most so many of all callers, and of one."""

    def __init__(self, most: int, of_one_caller: int) -> None:
        self._most = most
        self._of_one_caller = of_one_caller
        self._open = Counter[str]()

    @property
    def total(self) -> int:
        return self._open.total()

    def check(self, caller: str) -> None:
        """Raises RateLimited when there may be no more."""
        if self._open[caller] >= self._of_one_caller:
            problem = f"Too many open streams: a caller can follow {self._of_one_caller} at once. Close one first."
            raise RateLimited(problem, retry_after=_RETRY_AFTER)
        if self.total >= self._most:
            raise RateLimited(f"Too many open streams: all callers together can follow {self._most}.", retry_after=_RETRY_AFTER)

    @contextmanager
    def one(self, caller: str) -> Iterator[None]:
        """One more, until the block ends."""
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]
