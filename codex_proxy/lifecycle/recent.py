"""Recent: the responses that are not stored, as long as the socket that they were made on is open.

A client may go on from one there without sending it again. In memory only, and bounded: who finds one gone sends the whole
conversation, as after a new connection.
"""

from collections import Counter, OrderedDict

import msgspec


class Made(msgspec.Struct, frozen=True):
    """A response as a store keeps it: its object, as JSON, and its conversation in parts."""

    body: bytes
    conversation: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return len(self.body) + sum(map(len, self.conversation))


class Recent:
    """Of all sockets, at most `most` bytes; the largest owner's longest unused goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], tuple[str, Made]] = OrderedDict()  # (socket, response) -> owner, what it was
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
        """A response that has ended."""
        if (socket, response_id) not in self._kept:
            return None
        self._kept.move_to_end((socket, response_id))
        return self._kept[socket, response_id][1]

    def forget(self, socket: str) -> None:
        """The socket is closed."""
        for key in [key for key in self._kept if key[0] == socket]:
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        owner, made = self._kept.pop(key)
        self._bytes[owner] -= made.size
