"""/v1/conversations and their items: the Conversations API on top of the store of responses."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import msgspec
from aiohttp import web

from codex_proxy.dialects.responses import conversations as dialect
from codex_proxy.dialects.responses.conversations import ConversationDeleted, Item
from codex_proxy.store.base import Page
from codex_proxy.web import answers, errors, paging
from codex_proxy.web.server import SERVER, Server

_T = TypeVar("_T")


async def create(request: web.Request) -> web.Response:
    """Create a conversation, with or without items."""
    async with _body(request, dialect.decode_create) as (owner, (metadata, items)):
        return errors.json_response(await request.app[SERVER].conversations.create(owner, metadata, items))


async def show(request: web.Request) -> web.Response:
    """Return the conversation object."""
    owner, name = await _named(request)
    return errors.json_response((await request.app[SERVER].conversations.get(owner, name)).body)


async def update(request: web.Request) -> web.Response:
    """Replace the metadata."""
    async with _body(request, dialect.decode_update) as (owner, asked):
        name = request.match_info["id"]
        return errors.json_response(await request.app[SERVER].conversations.update(owner, name, asked.metadata or {}))


async def delete(request: web.Request) -> web.Response:
    """Delete the conversation and its items. Responses generated in it are kept."""
    owner, name = await _named(request)
    await request.app[SERVER].conversations.delete(owner, name)
    return errors.json_response(msgspec.json.encode(ConversationDeleted(name)))


async def add_items(request: web.Request) -> web.Response:
    """Append items; the answer lists them."""
    server, name = request.app[SERVER], request.match_info["id"]
    async with AsyncExitStack() as slot:
        async with _body(request, dialect.decode_items) as (owner, given):
            await slot.enter_async_context(server.answers.one(owner, len(given)))
            answer = await _listed(server, Page(await server.conversations.add(owner, name, given), more=False))
            del given
        return await answers.written(request, answer)


async def list_items(request: web.Request) -> web.Response:
    """Return a page of the items, latest first unless asked otherwise."""
    owner, name = await _named(request)
    which = paging.asked(request)
    server = request.app[SERVER]
    async with server.answers.one(owner, await server.conversations.size(owner, name)):
        page = await server.conversations.page(owner, name, which.limit, which.order, which.after)
        answer = await _listed(server, page)
        del page  # the client may take long
        return await answers.written(request, answer)


async def show_item(request: web.Request) -> web.Response:
    """Return one item."""
    owner, name = await _named(request)
    server = request.app[SERVER]
    async with server.answers.one(owner, await server.conversations.size(owner, name)):
        item = await server.conversations.item(owner, name, request.match_info["item"])
        return await answers.written(request, errors.json_response(item.content))


async def delete_item(request: web.Request) -> web.Response:
    """Remove an item; the answer is the conversation."""
    owner, name = await _named(request)
    record = await request.app[SERVER].conversations.remove(owner, name, request.match_info["item"])
    return errors.json_response(record.body)


async def _listed(server: Server, page: Page) -> web.Response:
    items = [Item(item.type, item.content) for item in page.items]
    size = sum(len(item.content) for item in items)
    return errors.json_response(await server.decoding.run(size, dialect.listed, items, has_more=page.more))


async def _named(request: web.Request) -> tuple[str, str]:
    """Admit a request; returns the caller's owner id and the conversation's id."""
    return (await request.app[SERVER].admit(request)).owner, request.match_info["id"]


@asynccontextmanager
async def _body(request: web.Request, decode: Callable[[bytes | bytearray], _T]) -> AsyncIterator[tuple[str, _T]]:
    """Admit a request and decode its body; yields the owner id and the body, which counts until the block ends."""
    server = request.app[SERVER]
    who, body = await server.admit_body(request)
    try:
        asked = await server.decoding.run(len(body.content), decode, body.content)
        body.decoded()
        yield who.owner, asked
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
