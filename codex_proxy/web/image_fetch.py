"""Fetches images for callers, with PROXY_IMAGE_FETCH=1, from public hosts only, never from internal ones.

A name is resolved once, all its addresses must be public, and the connection goes to one of the addresses checked. https on its
default port, no redirects, no proxies, no cookies. The caller gets the same error whether a host is internal, silent or does not
exist; the reason is logged.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from codex_proxy.dialects import images
from codex_proxy.dialects.image_header import KINDS
from codex_proxy.errors import InvalidRequest
from codex_proxy.history import Image
from codex_proxy.slots import Slots
from codex_proxy.web.public_hosts import Address, is_name, is_public, look_up

_AT_ONCE, _OF_ONE_CALLER = 4, 2  # images, across all requests
_MOST = 10  # URLs in one request
_IMAGE_TIMEOUT = 10.0  # seconds for one image, from resolving the name to the last byte
_REQUEST_TIMEOUT = 30.0  # seconds for all images of a request, including the wait for a slot
_PORT = 443
# No compression, so that the size received is the final size.
_HEADERS = {"User-Agent": "codex-proxy", "Accept": ", ".join(f"image/{kind}" for kind in KINDS), "Accept-Encoding": "identity"}


class ImageFetch:
    """Fetches images. `allowed` is the operator's setting; `most_bytes` bounds a request's images as data: URLs."""

    def __init__(
        self,
        *,
        allowed: bool,
        most_bytes: int,
        resolve: Callable[[str], Awaitable[list[Address]]] = look_up,
        public: Callable[[str], bool] = is_public,
        tls: ssl.SSLContext | bool = True,
        timeout: float = _IMAGE_TIMEOUT,
    ) -> None:
        self._allowed = allowed
        self._most_bytes = most_bytes
        self._resolve = resolve
        self._public = public
        self._tls = tls
        self._timeout = timeout
        self._slots = Slots("images are being fetched", _AT_ONCE, _OF_ONE_CALLER)

    async def fetch(self, links: Sequence[Image], caller: str) -> dict[str, str]:
        """Map URLs to data: URLs. Raises InvalidRequest with the place of the first image that is refused, and ServerFull."""
        if links and not self._allowed:
            problem = "This server does not fetch images. Send a data: URL, or ask the operator to set PROXY_IMAGE_FETCH=1."
            raise InvalidRequest(problem, param=links[0].place)
        if len({link.url for link in links}) > _MOST:
            raise InvalidRequest(f"A request can have up to {_MOST} image URLs.", param=links[0].place)
        fetched: dict[str, str] = {}
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                for link in links:
                    if link.url not in fetched:
                        fetched[link.url] = await self._one(_checked(link), link.place or "", caller)
                    if sum(map(len, fetched.values())) > self._most_bytes:
                        raise InvalidRequest(
                            "Together, the images exceed this server's limit (PROXY_MAX_BODY_MB).", param=link.place
                        )
        except TimeoutError as error:
            raise InvalidRequest("The images could not be fetched in time.", param=links[0].place) from error
        return fetched

    async def _one(self, url: URL, place: str, caller: str) -> str:
        async with self._slots.one(caller):
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._get(url, place)
            except (aiohttp.ClientError, OSError) as error:
                reason = f"{url.host}: {type(error).__name__}: {error}"
                raise InvalidRequest("The image could not be fetched.", param=place, detail=reason) from error

    async def _get(self, url: URL, place: str) -> str:
        addresses = await self._resolve(url.raw_host or "")
        if not addresses or not all(self._public(host) for host, _ in addresses):
            raise OSError("not a public host")
        connector = aiohttp.TCPConnector(resolver=_Pinned(addresses), use_dns_cache=False, force_close=True, ssl=self._tls)
        jar = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=jar, headers=_HEADERS, auto_decompress=False) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            return images.data_url(await _content(response, place), place)


class _Pinned(AbstractResolver):
    """Resolves to the addresses that were checked, whatever the name resolves to now."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=its_port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address, its_port in self._addresses
        ]

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def _checked(link: Image) -> URL:
    """Return the URL to request. Raises InvalidRequest."""
    try:
        url = URL(link.url)
        plain = url.scheme == "https" and url.user is None and url.password is None and url.port == _PORT
    except ValueError:
        plain = False
    if not plain or not is_name(url.raw_host or ""):
        problem = f"An image URL must be https on port {_PORT}, with a host name and without a password."
        raise InvalidRequest(problem, param=link.place)
    return url


async def _content(response: aiohttp.ClientResponse, place: str) -> bytes:
    """Read the file, giving up once it is too large. Its declared type is ignored: file hosts often send a generic one."""
    if 300 <= response.status < 400:
        raise InvalidRequest("The image URL redirects. Send the final URL instead.", param=place)
    if response.status != 200:
        raise InvalidRequest(f"The image's host answered {response.status}.", param=place)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise InvalidRequest("The image's host compresses the image.", param=place)
    if (response.content_length or 0) > images.MAX_BYTES:
        raise images.too_large(place)
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > images.MAX_BYTES:
            raise images.too_large(place)
    return bytes(content)
