"""Followers: open streams of what goes on anyway, a background response or the state of the server. Each costs with every event.

400 followers of one response took half a core at ten words a second.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from codex_proxy.errors import RateLimited

_MOST, _OF_ONE_CALLER = 128, 32
_RETRY_AFTER = 10.0  # seconds


class Followers:
    """How many there are on this instance, by caller."""

    def __init__(self) -> None:
        self._open = Counter[str]()

    def check(self, caller: str) -> None:
        """Raises RateLimited when there may be no more."""
        if self._open[caller] >= _OF_ONE_CALLER:
            problem = f"Too many open streams: a caller can follow {_OF_ONE_CALLER} at once. Close one first."
            raise RateLimited(problem, retry_after=_RETRY_AFTER)
        if self._open.total() >= _MOST:
            raise RateLimited(f"Too many open streams: all callers together can follow {_MOST}.", retry_after=_RETRY_AFTER)

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
