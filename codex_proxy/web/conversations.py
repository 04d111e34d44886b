"""/v1/conversations and their items: the Conversations API on top of the store of responses."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from codex_proxy.dialects.responses import conversations as dialect
from codex_proxy.dialects.responses.conversations import ConversationDeleted, CreateBody, Item, ItemsBody
from codex_proxy.web import errors, paging
from codex_proxy.web.server import SERVER

_T = TypeVar("_T")


async def create(request: web.Request) -> web.Response:
    """Create a conversation, with or without items."""
    owner, asked = await _body(request, lambda raw: dialect.decode_items(raw, CreateBody))
    items = msgspec.json.encode(asked.items or [])
    return errors.json_response(await request.app[SERVER].conversations.create(owner, asked.metadata or {}, items))


async def show(request: web.Request) -> web.Response:
    """Return the conversation object."""
    owner, name = await _named(request)
    return errors.json_response((await request.app[SERVER].conversations.get(owner, name)).body)


async def update(request: web.Request) -> web.Response:
    """Replace the metadata."""
    owner, asked = await _body(request, dialect.decode_update)
    name = request.match_info["id"]
    return errors.json_response(await request.app[SERVER].conversations.update(owner, name, asked.metadata or {}))


async def delete(request: web.Request) -> web.Response:
    """Delete the conversation and its items. Responses generated in it are kept."""
    owner, name = await _named(request)
    await request.app[SERVER].conversations.delete(owner, name)
    return errors.json_response(msgspec.json.encode(ConversationDeleted(name)))


async def add_items(request: web.Request) -> web.Response:
    """Append items; the answer lists them."""
    owner, asked = await _body(request, lambda raw: dialect.decode_items(raw, ItemsBody))
    given = msgspec.json.encode(asked.items)
    added = await request.app[SERVER].conversations.add(owner, request.match_info["id"], given)
    return errors.json_response(dialect.listed([Item(item.type, item.content) for item in added]))


async def list_items(request: web.Request) -> web.Response:
    """Return a page of the items, latest first unless asked otherwise."""
    owner, name = await _named(request)
    which = paging.asked(request)
    items, more = await request.app[SERVER].conversations.page(owner, name, which.limit, which.order, which.after)
    return errors.json_response(dialect.listed([Item(item.type, item.content) for item in items], has_more=more))


async def show_item(request: web.Request) -> web.Response:
    """Return one item."""
    owner, name = await _named(request)
    item = await request.app[SERVER].conversations.item(owner, name, request.match_info["item"])
    return errors.json_response(item.content)


async def delete_item(request: web.Request) -> web.Response:
    """Remove an item; the answer is the conversation."""
    owner, name = await _named(request)
    record = await request.app[SERVER].conversations.remove(owner, name, request.match_info["item"])
    return errors.json_response(record.body)


async def _named(request: web.Request) -> tuple[str, str]:
    """Admit a request; returns the caller's owner id and the conversation's id."""
    return (await request.app[SERVER].admit(request)).owner, request.match_info["id"]


async def _body(request: web.Request, decode: Callable[[bytes | bytearray], _T]) -> tuple[str, _T]:
    """Admit a request and decode its body; returns the owner id and the body."""
    server = request.app[SERVER]
    who, body = await server.admit_body(request)
    try:
        return who.owner, await server.decoding.run(len(body.content), decode, body.content)
    finally:
        body.let_go()


ROUTES = (
    ("POST", "/v1/conversations", create),
    ("GET", "/v1/conversations/{id}", show),
    ("POST", "/v1/conversations/{id}", update),
    ("DELETE", "/v1/conversations/{id}", delete),
    ("POST", "/v1/conversations/{id}/items", add_items),
    ("GET", "/v1/conversations/{id}/items", list_items),
    ("GET", "/v1/conversations/{id}/items/{item}", show_item),
    ("DELETE", "/v1/conversations/{id}/items/{item}", delete_item),
)
