"""GET /x_codex/responses: the caller's own stored responses in pages, latest first, filtered by text and model.

Nobody, not even the operator, sees the responses of others. A request examines a bounded number of responses, so a page may be
short or empty and still have a `next`.
"""

import re
from collections.abc import Callable
from typing import Literal

import msgspec
from aiohttp import web

from codex_proxy.activity import one_line
from codex_proxy.dialects.responses.objects import ResponseUsage
from codex_proxy.errors import InvalidRequest
from codex_proxy.store.base import Listed
from codex_proxy.web import errors
from codex_proxy.web.console.status import BOARD
from codex_proxy.web.server import Server

_LIMIT, _HIGHEST_LIMIT = 20, 100
_LOOKED_AT = 500  # responses examined per request
_READ = 32 * 1024 * 1024  # bytes read per request, unless the first response has more
_LONGEST_SEARCH = 200  # characters
_PIECE = 1024 * 1024  # characters
_PLACE = re.compile(r"([0-9]{1,20}(\.[0-9]{0,20})?)?")


class Kept(msgspec.Struct, frozen=True):
    """A summary of a response. `title` is the first line of the prompt."""

    id: str
    created_at: int
    status: str
    model: str
    title: str
    background: bool
    previous_response_id: str | None
    usage: ResponseUsage | None


class KeptPage(msgspec.Struct, frozen=True):
    """`next` is the `after` of the next page; null when there is none."""

    data: tuple[Kept, ...]
    next: str | None
    object: Literal["list"] = "list"


class _Part(msgspec.Struct):
    text: str | None = None


class _Item(msgspec.Struct):
    """The searchable part of an input or output item."""

    role: str | None = None
    content: str | list[_Part] | None = None
    arguments: str | None = None
    output: msgspec.Raw = msgspec.Raw()

    @property
    def text(self) -> str:
        parts = self.content if isinstance(self.content, list) else ()
        said = self.content if isinstance(self.content, str) else "\n".join(part.text or "" for part in parts)
        output = bytes(self.output)
        return "\n".join((said, self.arguments or "", msgspec.json.decode(output, type=str) if output.startswith(b'"') else ""))


class _Body(msgspec.Struct):
    model: str
    background: bool = False
    previous_response_id: str | None = None
    usage: ResponseUsage | None = None
    output: list[_Item] = []


_body = msgspec.json.Decoder(_Body)
_items = msgspec.json.Decoder(list[_Item])


async def page(request: web.Request) -> web.Response:
    """Return a page of stored responses."""
    board = request.app[BOARD]
    owner = (await board.server.admit(request)).owner
    query = request.query
    limit, after = _limit(query.get("limit")), query.get("after", "")
    words = query.get("search", "")[:_LONGEST_SEARCH].casefold().split()
    if not _PLACE.fullmatch(after):
        raise InvalidRequest("Invalid value for 'after': use the 'next' of the previous page.", param="after")
    async with board.server.lists.one(owner):
        found, after = await _found(board.server, owner, limit, after, lambda one: _matching(one, words, query.get("model")))
    return errors.json_response(msgspec.json.encode(KeptPage(tuple(found), after or None)))


async def _found(
    server: Server, owner: str, limit: int, after: str, matching: Callable[[Listed], Kept | None]
) -> tuple[list[Kept], str]:
    """Return the responses that match, within the bounds on what is examined, and the `after` of the next page."""
    found: list[Kept] = []
    looked_at, left = 0, _READ
    while looked_at < _LOOKED_AT and left > 0 and len(found) <= limit // 2:  # a round reads no more than fits if all match
        at_once = limit - len(found)
        listed, after = await server.store.latest(owner, at_once, left, after)
        for one in listed:
            size = len(one.record.body) + len(one.input_items)
            left -= size
            if (kept := await server.decoding.run(size, matching, one)) is not None:
                found.append(kept)
        looked_at += at_once
        if not after:
            break
    return found, after


def _matching(listed: Listed, words: list[str], model: str | None) -> Kept | None:
    record = listed.record
    body = _body.decode(record.body)
    if model and body.model != model:
        return None
    items = _items.decode(listed.input_items)
    if words:
        texts = [item.text for item in (*items, *body.output)]
        if not all(any(_has(text, word) for text in texts) for word in words):
            return None
    title = next((one_line(item.text) for item in reversed(items) if item.role == "user"), "")
    usage, previous = body.usage, body.previous_response_id
    return Kept(record.id, record.created_at, record.status, body.model, title, body.background, previous, usage)


def _has(text: str, word: str) -> bool:
    """Return whether a text has a word, in any case; a long one is searched in pieces, between which other threads get to run."""
    return any(word in text[start : start + _PIECE + len(word)].casefold() for start in range(0, len(text), _PIECE))


def _limit(given: str | None) -> int:
    if given is None:
        return _LIMIT
    if not (given.isascii() and given.isdigit() and len(given) < 4 and 1 <= int(given) <= _HIGHEST_LIMIT):
        raise InvalidRequest(f"Invalid value for 'limit': allowed is a whole number from 1 to {_HIGHEST_LIMIT}.", param="limit")
    return int(given)
