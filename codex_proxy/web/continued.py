"""A request of the Responses API with what it continues: a response that is kept, or nothing."""

from collections.abc import Sequence

from codex_proxy.dialects.responses import conversations, stored
from codex_proxy.dialects.responses.request import ResponsesRequest
from codex_proxy.errors import InvalidRequest, ResponseNotFound
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.referenced import Recently
from codex_proxy.web.server import Server


async def with_history(server: Server, who: Caller, asked: ResponsesRequest, size: int) -> ResponsesRequest:
    """The request, which has so many bytes, with the response or the conversation that it continues, to be looked at alone.

    Raises ResponseNotFound, ConversationNotFound and InvalidRequest.
    """
    if (name := asked.conversation_id) is None:
        return await with_previous(server, who, asked, size)
    items = [item.content for item in await server.conversations.items(who.owner, name, "conversation")]
    return await with_items(server, asked, items, size)


async def with_items(server: Server, asked: ResponsesRequest, items: list[bytes], size: int) -> ResponsesRequest:
    """The request with the items of its conversation."""
    return await server.decoding.run(size + sum(map(len, items)), lambda: asked.continuing(conversations.as_history(items)))


async def with_previous(
    server: Server, who: Caller, asked: ResponsesRequest, size: int, recent: Recently | None = None
) -> ResponsesRequest:
    """The request with the response that it continues, out of `recent` or the store. Raises ResponseNotFound and InvalidRequest."""
    previous = asked.body.previous_response_id
    if previous is None:
        return await server.decoding.run(size, asked.continuing, ())
    made = None if recent is None else recent(previous)
    parts = await _kept(server, who, previous) if made is None else made.conversation
    size += sum(map(len, parts))
    return await server.decoding.run(size, lambda: asked.continuing(stored.decode_conversation(parts)))


async def _kept(server: Server, who: Caller, previous: str) -> Sequence[bytes]:
    record = await server.store.get(who.owner, previous)
    conversation = await server.store.conversation(who.owner, previous)
    if record is None or conversation is None or not record.of_response:
        raise ResponseNotFound(f"Previous response with id {previous!r} not found.", param="previous_response_id")
    if record.running:
        raise InvalidRequest("The previous response is still in progress.", param="previous_response_id")
    return conversation
