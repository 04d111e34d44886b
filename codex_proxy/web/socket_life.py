"""SocketLife: how long a WebSocket stays open, and how many refusals in a row it may have.

Only requests prolong it, not pings, and not what is refused over and over.
"""

import asyncio

import msgspec

from codex_proxy.errors import InvalidRequest

_REFUSED_IN_A_ROW = 50  # more than the responses that may be under way, each of which may fail
_LOOK_AGAIN = 1.0  # seconds, while something is under way


class SocketTimes(msgspec.Struct, frozen=True):
    """Seconds between the pings on a WebSocket, without a response on it, and of all its life (as OpenAI's)."""

    heartbeat: float = 30.0  # proxies cut what is silent for 60
    idle: float = 15 * 60.0
    life: float = 60 * 60.0


class SocketLife:
    """Of one socket, by the loop's clock. `busy`: something is under way, which is seen to its end."""

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
        """A request has come."""
        self._used_at = self._clock()

    def next_look(self, *, busy: bool) -> float:
        """When it may be over."""
        return self._clock() + _LOOK_AGAIN if busy else min(self._used_at + self._times.idle, self._ends_at)

    def over(self, *, busy: bool) -> bool:
        if busy:
            self.used()
        return not busy and self._clock() >= self.next_look(busy=False)

    def too_old(self) -> InvalidRequest:
        """What a request at its end is told."""
        error = InvalidRequest(f"A connection may last {self._times.life / 60:.0f} minutes. Open a new one.")
        error.code = "websocket_connection_limit_reached"
        return error

    def accepted(self) -> None:
        """A response was begun."""
        self._refused = 0

    def refused(self) -> bool:
        """One request more was refused; True: that makes too many."""
        self._refused += 1
        return self._refused >= _REFUSED_IN_A_ROW
