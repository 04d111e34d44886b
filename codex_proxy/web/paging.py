"""Pages of items, as selected by a request's query: `after`, `limit`, `order`."""

from aiohttp import web

from codex_proxy.dialects.responses import stored
from codex_proxy.errors import InvalidRequest
from codex_proxy.web.server import SERVER

_LIMIT, _HIGHEST_LIMIT = 20, 100


async def page(request: web.Request, items: bytes) -> bytes:
    """Return a page of a JSON array of items. Raises InvalidRequest."""
    limit = whole_number(request, "limit", _LIMIT, 1, _HIGHEST_LIMIT)
    order = request.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("Invalid value for 'order': allowed are asc and desc.", param="order")
    after = request.query.get("after")
    decoding = request.app[SERVER].decoding
    return await decoding.run(len(items), stored.page, items, after=after, limit=limit, newest_first=order == "desc")


def whole_number(request: web.Request, name: str, default: int, lowest: int, highest: int) -> int:
    """Parse a whole number in the query. Raises InvalidRequest."""
    given = request.query.get(name)
    if given is None:
        return default
    digits = given.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 17 and lowest <= int(given) <= highest):
        raise InvalidRequest(f"Invalid value for {name!r}: allowed is a whole number from {lowest} to {highest}.", param=name)
    return int(given)
