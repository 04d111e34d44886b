"""A host of pictures: a real TLS server on loopback, with a certificate of an authority that only its friends know."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trustme
from aiohttp import web

from codex_proxy.web.image_fetch import ImageFetch
from codex_proxy.web.public_hosts import Address

NAME = "pictures.example"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PictureHost:
    """Answers every request by `answer`; keeps the requests, and the names that clients said in the handshake (SNI)."""

    def __init__(self, answer: Handler) -> None:
        self.answer = answer
        self.requests: list[web.Request] = []
        self.greeted: list[str | None] = []
        self.looked_up: list[str] = []
        self.address: Address = ("", 0)
        self.client_tls = ssl.create_default_context()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority = trustme.CA()
        authority.issue_cert(NAME).configure_cert(self._tls)
        authority.configure_trust(self.client_tls)
        self._tls.sni_callback = lambda _, name, __: self.greeted.append(name)

    @classmethod
    @asynccontextmanager
    async def started(cls, answer: Handler) -> AsyncIterator["PictureHost"]:
        """Listen on a free port of 127.0.0.1 until the block ends."""
        host = cls(answer)
        app = web.Application()
        app.router.add_get("/{path:.*}", host._serve)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=host._tls).start()
            host.address = ("127.0.0.1", runner.addresses[0][1])
            yield host
        finally:
            await runner.cleanup()

    async def look_up(self, name: str) -> list[Address]:
        """A DNS where every name is this host."""
        self.looked_up.append(name)
        return [self.address]

    def fetch(
        self,
        *,
        allowed: bool = True,
        most_bytes: int = 10**7,
        resolve: Callable[[str], Awaitable[list[Address]]] | None = None,
        tls: ssl.SSLContext | bool | None = None,
        timeout: float = 5.0,
    ) -> ImageFetch:
        """An ImageFetch for which 127.0.0.1 is the internet, and all else is the inside."""
        return ImageFetch(
            allowed=allowed,
            most_bytes=most_bytes,
            resolve=resolve or self.look_up,
            public=lambda address: address == "127.0.0.1",
            tls=self.client_tls if tls is None else tls,
            timeout=timeout,
        )

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)
