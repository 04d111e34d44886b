"""Who asks: the bearer token of a request, compared in constant time, as bytes."""

import hashlib
import hmac

import msgspec
from aiohttp import web

from codex_proxy.errors import InvalidApiKey
from codex_proxy.settings import Settings

_SCHEME = "bearer "


class Caller(msgspec.Struct, frozen=True):
    """Who asks. `owner`: whose responses are his; `limited_as`: what his rate goes by, an address when the server is open."""

    owner: str
    limited_as: str


def caller(request: web.Request, settings: Settings) -> Caller:
    """Who asks. Raises InvalidApiKey."""
    if settings.api_key is None:
        return Caller("anybody", f"address {request.remote}")
    given = request.headers.get("Authorization", "")
    token = given[len(_SCHEME) :].strip() if given.lower().startswith(_SCHEME) else ""
    if not hmac.compare_digest(_digest(token), _digest(settings.api_key)):
        raise InvalidApiKey("Missing or unknown API key. Send it as: Authorization: Bearer <PROXY_API_KEY>")
    return Caller("key", "key")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
