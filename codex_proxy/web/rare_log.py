"""RareLog: warnings of what strangers can cause as often as they like, so that they cannot fill the disk with them."""

import logging
import math
import time

_INTERVAL = 10.0  # seconds


class RareLog:
    """One warning in ten seconds; it says how many it stands for."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._next = -math.inf  # monotonic seconds
        self._silent = 0

    def warning(self, message: str, *arguments: object) -> None:
        """Log, or count what is not logged."""
        now = time.monotonic()
        if now < self._next:
            self._silent += 1
            return
        more = f" ({self._silent} more since the last line)" if self._silent else ""
        self._next, self._silent = now + _INTERVAL, 0
        self._logger.warning(f"{message}%s", *arguments, more)
