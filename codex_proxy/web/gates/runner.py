"""Runner: runs an app on our connections, and bounds the logging when the system runs out of them."""

import asyncio
import errno
import logging
from typing import Any

from aiohttp import web

from codex_proxy.web.gates.connections import USUAL, Bounds, Connections
from codex_proxy.web.rare_log import RareLog

_log = logging.getLogger(__name__)

_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Runner(web.AppRunner):
    """aiohttp's, whose server is ours. `_make_server` is the one private method that is overridden."""

    def __init__(self, app: web.Application, bounds: Bounds = USUAL, **options: Any) -> None:  # Any: those of AppRunner
        super().__init__(app, **options)
        self._bounds = bounds
        self._accept_log = RareLog(_log)

    async def _make_server(self) -> web.Server:  # subclasses of BaseRunner are meant to override it, despite its name
        self._connections = Connections(await super()._make_server(), self.app, self._bounds)
        asyncio.get_running_loop().set_exception_handler(self._heard)
        return self._connections

    async def _cleanup_server(self) -> None:
        asyncio.get_running_loop().set_exception_handler(None)
        await super()._cleanup_server()

    def _heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # Any: those of the loop
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _OUT_OF and "socket" in context:
            self._accept_log.warning("a connection could not be accepted: %s", error.strerror)
            self._connections.close_longest_waiting()
        else:
            loop.default_exception_handler(context)
