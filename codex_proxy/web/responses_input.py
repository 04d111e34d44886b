"""What a Responses request takes from earlier ones: the items that it refers to by id, and what it continues."""

from collections.abc import Callable, Sequence
from typing import Any

from codex_proxy.dialects.responses import conversations, references, stored
from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.dialects.responses.request import ResponsesRequest
from codex_proxy.errors import InvalidRequest, ResponseNotFound
from codex_proxy.lifecycle.recent import Made
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.server import Server

_LARGEST = 64 * 1024 * 1024  # bytes of all responses and conversations that hold the referenced items

Recently = Callable[[str], Made | None]  # finds a response that is not stored, where possible
_Items = dict[str, dict[str, Any]]  # by id; Any: JSON


async def decoded(server: Server, who: Caller, content: bytes | bytearray, recent: Recently | None = None) -> ResponsesRequest:
    """Decode a body, with the items that it refers to. Raises what `decode` does."""
    wanted = await server.decoding.run(len(content), references.wanted, content)
    kept = await _Lookup(server, who.owner, recent).all(wanted) if wanted else {}
    return await server.decoding.run(len(content), responses_request.decode, content, kept)


async def with_history(server: Server, who: Caller, asked: ResponsesRequest, size: int) -> ResponsesRequest:
    """Return the request of `size` bytes with the response or conversation that it continues, for reading only.

    Raises ResponseNotFound, ConversationNotFound and InvalidRequest.
    """
    if (name := asked.conversation_id) is None:
        return await with_previous(server, who, asked, size)
    items = [item.content for item in await server.conversations.items(who.owner, name, "conversation")]
    return await with_items(server, asked, items, size)


async def with_items(server: Server, asked: ResponsesRequest, items: list[bytes], size: int) -> ResponsesRequest:
    """Return the request with the items of its conversation."""
    return await server.decoding.run(size + sum(map(len, items)), lambda: asked.continuing(conversations.as_history(items)))


async def with_previous(
    server: Server, who: Caller, asked: ResponsesRequest, size: int, recent: Recently | None = None
) -> ResponsesRequest:
    """Return the request with the response that it continues, from `recent` or the store.

    Raises ResponseNotFound, InvalidRequest.
    """
    previous = asked.body.previous_response_id
    if previous is None:
        return await server.decoding.run(size, asked.continuing, ())
    made = None if recent is None else recent(previous)
    parts = await _previous(server, who, previous) if made is None else made.conversation
    size += sum(map(len, parts))
    return await server.decoding.run(size, lambda: asked.continuing(stored.decode_conversation(parts)))


class _Lookup:
    """Finds the items that one request refers to."""

    def __init__(self, server: Server, owner: str, recent: Recently | None) -> None:
        self._server = server
        self._owner = owner
        self._recent = recent
        self._read = 0  # bytes

    async def all(self, wanted: frozenset[str]) -> _Items:
        """Return the items that exist."""
        found: _Items = {}
        for response_id, names in references.responses_of(wanted).items():
            made = self._recent and self._recent(response_id)
            found |= await (self._of_recent(names, made) if made else self._of_kept(names, response_id))
        for conversation_id, names in references.conversations_of(wanted).items():
            items = await self._server.conversations.named(self._owner, conversation_id, names)
            whole = conversations.array([item.content for item in items])
            self._count(len(whole))
            found |= await self._server.decoding.run(len(whole), references.in_input, names, whole)
        return found

    async def _of_recent(self, names: frozenset[str], made: Made) -> _Items:
        self._count(len(made.body))
        decode = self._server.decoding.run
        found = await decode(len(made.body), references.in_output, names, made.body)
        return await decode(made.size, references.with_encrypted, found, made.body, made.conversation)

    async def _of_kept(self, names: frozenset[str], response_id: str) -> _Items:
        store, decode = self._server.store, self._server.decoding.run
        record = await store.get(self._owner, response_id)
        if record is None or record.running or not record.of_response:
            return {}
        self._count(len(record.body))
        found = await decode(len(record.body), references.in_output, names, record.body)
        if missing := names - found.keys():
            given = await store.input_items(self._owner, response_id) or b"[]"
            self._count(len(given))
            found |= await decode(len(given), references.in_input, missing, given)
        if any(map(references.is_reasoning, found)):
            parts = await store.conversation(self._owner, response_id) or []
            read = len(record.body) + sum(map(len, parts))
            found = await decode(read, references.with_encrypted, found, record.body, parts)
        return found

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > _LARGEST:
            raise InvalidRequest(
                f"The items that the input names are in more than {_LARGEST // 2**20} MB of responses and conversations.",
                param="input",
            )


async def _previous(server: Server, who: Caller, previous: str) -> Sequence[bytes]:
    record = await server.store.get(who.owner, previous)
    conversation = await server.store.conversation(who.owner, previous)
    if record is None or conversation is None or not record.of_response:
        raise ResponseNotFound(f"Previous response with id {previous!r} not found.", param="previous_response_id")
    if record.running:
        raise InvalidRequest("The previous response is still in progress.", param="previous_response_id")
    return conversation
