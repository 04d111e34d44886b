"""The other end of $NOTIFY_SOCKET: what a service tells systemd, as it comes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NotifySocket(asyncio.DatagramProtocol):
    """`address` is for NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._messages: asyncio.Queue[str] = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def opened(cls, address: str) -> AsyncIterator["NotifySocket"]:
        """At a path, or `@name` for an abstract one."""
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        bound.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        bound.setblocking(False)
        transport, told = await asyncio.get_running_loop().create_datagram_endpoint(lambda: cls(address), sock=bound)
        try:
            yield told
        finally:
            transport.close()

    def datagram_received(self, data: bytes, _: object) -> None:
        self._messages.put_nowait(data.decode())

    async def up_to(self, text: str) -> list[str]:
        """All messages since the last call, the last of them the next one that contains `text`."""
        told = [await self._messages.get()]
        while text not in told[-1]:
            told.append(await self._messages.get())
        return told

    def rest(self) -> list[str]:
        """What else has come."""
        return [self._messages.get_nowait() for _ in range(self._messages.qsize())]
