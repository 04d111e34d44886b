"""SocketLife: bounds how long a WebSocket stays open, and how many consecutive refusals it may cause.

Only requests keep it open; pings do not, nor do requests that are refused over and over.
"""

import asyncio

import msgspec

from codex_proxy.errors import InvalidRequest

_REFUSED_IN_A_ROW = 50  # more than the responses that may be in progress, each of which may fail
_LOOK_AGAIN = 1.0  # seconds, while a response is in progress


class SocketTimes(msgspec.Struct, frozen=True):
    """Seconds for a WebSocket: between pings, without a response, and its total lifetime (OpenAI's value)."""

    heartbeat: float = 30.0  # proxies cut connections that are silent for 60
    idle: float = 15 * 60.0
    life: float = 60 * 60.0


class SocketLife:
    """The lifetime of one socket, by the loop's clock. `busy` means that a response is in progress, which may always finish."""

    def __init__(self, times: SocketTimes) -> None:
        self._times = times
        self._clock = asyncio.get_running_loop().time
        self._used_at = self._clock()
        self._ends_at = self._used_at + times.life
        self._refused = 0

    @property
    def at_end(self) -> bool:
        return self._clock() >= self._ends_at

    def used(self) -> None:
        """Note that a request has come."""
        self._used_at = self._clock()

    def next_look(self, *, busy: bool) -> float:
        """Return when to check next whether the lifetime is over."""
        return self._clock() + _LOOK_AGAIN if busy else min(self._used_at + self._times.idle, self._ends_at)

    def over(self, *, busy: bool) -> bool:
        if busy:
            self.used()
        return not busy and self._clock() >= self.next_look(busy=False)

    def too_old(self) -> InvalidRequest:
        """Return the error for requests after the end."""
        error = InvalidRequest(f"A connection may last {self._times.life / 60:.0f} minutes. Open a new one.")
        error.code = "websocket_connection_limit_reached"
        return error

    def accepted(self) -> None:
        """Note that a response has started."""
        self._refused = 0

    def refused(self) -> bool:
        """Note another refusal. Returns True if there are too many in a row."""
        self._refused += 1
        return self._refused >= _REFUSED_IN_A_ROW
