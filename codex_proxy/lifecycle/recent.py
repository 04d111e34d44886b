"""Recent: responses that are not stored, kept while the socket that they were generated on is open.

A client can continue from one on that socket without resending it. They are kept in memory only, and bounded; a client whose
response is gone resends the whole conversation, as after a reconnect.
"""

from collections import Counter, OrderedDict

import msgspec


class Made(msgspec.Struct, frozen=True):
    """A response as a store would keep it: its object as JSON, and its conversation in parts."""

    body: bytes
    conversation: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return len(self.body) + sum(map(len, self.conversation))


class Recent:
    """The recent responses of all sockets, at most `most` bytes; the least recently used of the largest owner is evicted first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], tuple[str, Made]] = OrderedDict()  # (socket, response) -> owner, response
        self._bytes = Counter[str]()  # by owner

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, owner: str, socket: str, response_id: str, made: Made) -> None:
        self._kept[socket, response_id] = (owner, made)
        self._bytes[owner] += made.size
        while self._bytes.total() > self._most:
            [(largest, _)] = self._bytes.most_common(1)
            self._drop(next(key for key, (whose, _) in self._kept.items() if whose == largest))

    def get(self, socket: str, response_id: str) -> Made | None:
        """Return a response that has ended and is still kept."""
        if (socket, response_id) not in self._kept:
            return None
        self._kept.move_to_end((socket, response_id))
        return self._kept[socket, response_id][1]

    def drop(self, socket: str, response_id: str) -> None:
        """Drop a response that must not be continued any more, if it is kept."""
        if (socket, response_id) in self._kept:
            self._drop((socket, response_id))

    def forget(self, socket: str) -> None:
        """Drop the responses of a socket that has closed."""
        for key in [key for key in self._kept if key[0] == socket]:
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        owner, made = self._kept.pop(key)
        self._bytes[owner] -= made.size
