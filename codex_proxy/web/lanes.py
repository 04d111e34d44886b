"""Lanes of a WebSocket: requests of one `stream_id`, which are answered one after the other."""

import asyncio
from collections import deque

import msgspec

from codex_proxy.dialects.responses.socket_messages import Create
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.gates.bodies import Body


class Request(msgspec.Struct, frozen=True):
    """A `response.create` and whose it is; its content is the body's."""

    who: Caller
    body: Body
    create: Create


class Lane:
    """The first of its requests is being answered, the others wait."""

    def __init__(self) -> None:
        self.waiting: deque[Request] = deque()
        self.task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        return len(self.waiting)
