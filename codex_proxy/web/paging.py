"""Pages of items, as selected by a request's query: `after`, `limit`, `order`."""

import msgspec
from aiohttp import web

from codex_proxy.dialects.responses import stored
from codex_proxy.errors import InvalidRequest
from codex_proxy.store.base import Order
from codex_proxy.web.server import SERVER

_LIMIT, _HIGHEST_LIMIT = 20, 100


class Asked(msgspec.Struct, frozen=True):
    """Which items: so many in this order, that come after the item with the id `after`."""

    limit: int
    order: Order
    after: str | None


def asked(request: web.Request) -> Asked:
    """Return what the query asks for. Raises InvalidRequest."""
    limit = whole_number(request, "limit", _LIMIT, 1, _HIGHEST_LIMIT)
    order = request.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("Invalid value for 'order': allowed are asc and desc.", param="order")
    return Asked(limit, "asc" if order == "asc" else "desc", request.query.get("after") or None)


async def page(request: web.Request, items: bytes) -> bytes:
    """Return a page of a JSON array of items. Raises InvalidRequest."""
    which = asked(request)
    decoding = request.app[SERVER].decoding
    newest_first = which.order == "desc"
    return await decoding.run(len(items), stored.page, items, after=which.after, limit=which.limit, newest_first=newest_first)


def whole_number(request: web.Request, name: str, default: int, lowest: int, highest: int) -> int:
    """Parse a whole number in the query. Raises InvalidRequest."""
    given = request.query.get(name)
    if given is None:
        return default
    digits = given.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 17 and lowest <= int(given) <= highest):
        raise InvalidRequest(f"Invalid value for {name!r}: allowed is a whole number from {lowest} to {highest}.", param=name)
    return int(given)
