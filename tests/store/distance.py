"""A server that is far away: what is sent through it arrives late, in order, and as much at once as without it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.machine import free_port


class Distance:
    """A loopback port in front of another. `delay`: seconds that each way takes, for what is sent from now on."""

    def __init__(self, behind: int) -> None:
        self.port = free_port()
        self.delay = 0.0
        self._behind = behind

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        await asyncio.gather(self._carry(reader, back), self._carry(there, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            content = b"-"
            while content:
                due, content = await on_its_way.get()
                await asyncio.sleep(due - clock())
                writer.write(content)
                await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(arrive())
            content = b"-"
            while content:
                with contextlib.suppress(ConnectionError):
                    content = await reader.read(65_536)
                on_its_way.put_nowait((clock() + self.delay, content))
        writer.close()


@asynccontextmanager
async def distance_to(port: int) -> AsyncIterator[Distance]:
    """In front of a port of this machine, until the end of the block."""
    distance = Distance(port)
    server = await asyncio.start_server(distance._connected, "127.0.0.1", distance.port)
    async with server:
        yield distance
