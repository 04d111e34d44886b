"""WrongKeys: how often a source may be wrong about its key. The right key is never counted, so it is always served."""

import logging
import time

from codex_proxy.errors import RateLimited
from codex_proxy.web.rare_log import RareLog

PER_MINUTE = 60
_WINDOW = 60.0  # seconds
_MOST_SOURCES = 10_000  # a megabyte
_THE_REST = "the rest"


class WrongKeys:
    """Counts within a minute. Sources beyond the ten thousandth are counted as one."""

    def __init__(self) -> None:
        self._log = RareLog(logging.getLogger(__name__))
        self._counts: dict[str, int] = {}
        self._ends = 0.0  # monotonic seconds

    def count(self, source: str) -> None:
        """Count a wrong or missing key. Raises RateLimited, with the seconds until the next is heard, when there were too many."""
        now = time.monotonic()
        if now >= self._ends:
            self._counts.clear()
            self._ends = now + _WINDOW
        if source not in self._counts and len(self._counts) >= _MOST_SOURCES:
            source = _THE_REST
        self._counts[source] = self._counts.get(source, 0) + 1
        if self._counts[source] > PER_MINUTE:
            self._log.warning("too many wrong API keys from %s", source)
            message = f"More than {PER_MINUTE} wrong API keys a minute from this address. Correct keys still work."
            raise RateLimited(message, retry_after=self._ends - now)
