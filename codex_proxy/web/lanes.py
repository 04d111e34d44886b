"""The lanes of a WebSocket: requests with the same `stream_id` are answered one after another."""

import asyncio
from collections import deque

import msgspec

from codex_proxy.dialects.responses.socket_messages import Create
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.gates.bodies import Body


class Request(msgspec.Struct, frozen=True):
    """A `response.create` and its caller; its content is in the body."""

    who: Caller
    body: Body
    create: Create


class Lane:
    """The requests of a lane: the first is being answered, the others wait."""

    def __init__(self) -> None:
        self.waiting: deque[Request] = deque()
        self.task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        return len(self.waiting)
