"""RareLog: rate-limited logging of events that strangers can cause at will, so that they cannot fill the disk."""

import logging
import math
import time
from collections.abc import Mapping

_INTERVAL = 10.0  # seconds


class RareLog:
    """Logs at most `burst` lines in ten seconds; the next line says how many were left out."""

    def __init__(self, logger: logging.Logger, burst: int = 1) -> None:
        self._logger = logger
        self._burst = burst
        self._left = 0
        self._next = -math.inf  # monotonic seconds
        self._silent = 0

    def warning(self, message: str, *arguments: object) -> None:
        """Log a warning, or count it as left out."""
        if (more := self._more()) is not None:
            self._logger.warning(f"{message}%s", *arguments, more)

    def log(self, level: int, message: str, members: Mapping[str, str | int], terminal: str) -> None:
        """Log a line with members, or count it as left out."""
        if (more := self._more()) is not None:
            self._logger.log(level, "%s%s", message, more, extra={"members": members, "terminal": f"{terminal}{more}"})

    def _more(self) -> str | None:
        """Return a note on the lines left out, often empty; None to leave this one out too."""
        now = time.monotonic()
        if now >= self._next:
            self._next, self._left = now + _INTERVAL, self._burst
        if not self._left:
            self._silent += 1
            return None
        more = f" ({self._silent} more since the last line)" if self._silent else ""
        self._left, self._silent = self._left - 1, 0
        return more
