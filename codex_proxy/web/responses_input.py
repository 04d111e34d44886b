"""What a Responses request takes from earlier ones: the items that it refers to by id, and what it continues."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from codex_proxy.dialects import bounds, outline
from codex_proxy.dialects.responses import conversations, references, stored
from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.dialects.responses.request import ResponsesRequest
from codex_proxy.errors import ContextTooLong, InvalidRequest, ResponseNotFound
from codex_proxy.lifecycle.recent import Made
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.server import Server

Recently = Callable[[str], Made | None]  # finds a response that is not stored, where possible
_Items = dict[str, dict[str, Any]]  # by id; Any: JSON
_OF_CONVERSATION = "conversation", "Begin a new conversation, or delete items."
_OF_RESPONSE = "previous_response_id", "Continue an earlier response, or begin a new conversation."


async def decoded(server: Server, who: Caller, content: bytes | bytearray, recent: Recently | None = None) -> ResponsesRequest:
    """Decode a body, with the items that it refers to. Raises what `decode` does."""
    wanted = await server.decoding.run(len(content), references.wanted, content)
    kept: _Items = {}
    if wanted:
        async with server.histories.one(who.owner):
            kept = await _Lookup(server, who.owner, recent).all(wanted)
    return await server.decoding.run(len(content), responses_request.decode, content, kept)


def reading(server: Server, who: Caller, asked: ResponsesRequest) -> AbstractAsyncContextManager[None]:
    """Wait for the caller's slot to read and decode what the request continues, if anything. Entering it raises ServerFull."""
    continues = asked.conversation_id is not None or asked.body.previous_response_id is not None
    return server.histories.one(who.owner) if continues else nullcontext()


async def with_history(server: Server, who: Caller, asked: ResponsesRequest, size: int) -> ResponsesRequest:
    """Return the request of `size` bytes with the response or conversation that it continues, for reading only.

    Raises ResponseNotFound, ConversationNotFound, InvalidRequest and ServerFull.
    """
    async with reading(server, who, asked):
        if (name := asked.conversation_id) is None:
            return await with_previous(server, who, asked, size)
        _check_size(await server.conversations.size(who.owner, name), *_OF_CONVERSATION)  # before it is read
        items = [item.content for item in await server.conversations.items(who.owner, name, "conversation")]
        return await with_items(server, asked, items, size)


async def with_items(server: Server, asked: ResponsesRequest, items: list[bytes], size: int) -> ResponsesRequest:
    """Return the request with the items of its conversation. Raises InvalidRequest."""
    await _check(server, items, *_OF_CONVERSATION)
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
    await _check(server, parts, *_OF_RESPONSE)
    size += sum(map(len, parts))
    return await server.decoding.run(size, lambda: asked.continuing(stored.decode_conversation(parts)))


async def _check(server: Server, parts: Sequence[bytes], param: str, remedy: str) -> None:
    """Check what a request continues before it is decoded. Raises ContextTooLong."""
    if exceeded := await _Total(server).add(*parts):
        raise _too_long(exceeded, param, remedy)


def _check_size(size: int, param: str, remedy: str) -> None:
    if size > bounds.HISTORY_BYTES:
        raise _too_long(_history_bytes(), param, remedy)


def _too_long(exceeded: str, param: str, remedy: str) -> ContextTooLong:
    return ContextTooLong(f"What the request continues has more than {exceeded}. {remedy}", param=param)


def _history_bytes() -> str:
    return f"{bounds.HISTORY_BYTES // 2**20} MB"


class _Total:
    """How much of earlier requests and responses one request has decoded: it may be no more than a conversation has."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._read = self._values = 0

    async def add(self, *parts: bytes) -> str | None:
        """Add parts before they are decoded, which takes many times the memory. Returns the bound that they exceed."""
        size = sum(map(len, parts))
        self._read += size
        if self._read > bounds.HISTORY_BYTES:
            return _history_bytes()
        self._values += await self._server.decoding.run(size, outline.values, parts, bounds.VALUES - self._values)
        return f"{bounds.VALUES:,} values" if self._values > bounds.VALUES else None


class _Lookup:
    """Finds the items that one request refers to."""

    def __init__(self, server: Server, owner: str, recent: Recently | None) -> None:
        self._server = server
        self._owner = owner
        self._recent = recent
        self._total = _Total(server)

    async def all(self, wanted: Sequence[str]) -> _Items:
        """Return the items. Raises ItemNotFound at the first response that lacks one of them, and InvalidRequest."""
        found: _Items = {}
        of_responses, of_conversations = references.responses_of(wanted), references.conversations_of(wanted)
        bounds.at_most(bounds.RESPONSES, len(of_responses), "responses whose items it refers to", "input")
        bounds.at_most(bounds.CONVERSATIONS, len(of_conversations), "conversations whose items it refers to", "input")
        for response_id, names in of_responses.items():
            made = self._recent and self._recent(response_id)
            found |= await (self._of_recent(names, made) if made else self._of_kept(names, response_id))
            if not names <= found.keys():
                raise references.not_found(next(name for name in wanted if name in names and name not in found))
        for conversation_id, names in of_conversations.items():
            items = await self._server.conversations.named(self._owner, conversation_id, names)
            whole = conversations.array([item.content for item in items])
            await self._count(whole)
            found |= await self._server.decoding.run(len(whole), references.in_input, names, whole)
        return found

    async def _of_recent(self, names: frozenset[str], made: Made) -> _Items:
        await self._count(made.body, *made.conversation[1:])
        decode = self._server.decoding.run
        found = await decode(len(made.body), references.in_output, names, made.body)
        return await decode(made.size, references.with_encrypted, found, made.body, made.conversation)

    async def _of_kept(self, names: frozenset[str], response_id: str) -> _Items:
        store, decode = self._server.store, self._server.decoding.run
        record = await store.get(self._owner, response_id)
        if record is None or record.running or not record.of_response:
            return {}
        await self._count(record.body)
        found = await decode(len(record.body), references.in_output, names, record.body)
        if missing := names - found.keys():
            given = await store.input_items(self._owner, response_id) or b"[]"
            await self._count(given)
            found |= await decode(len(given), references.in_input, missing, given)
        if any(map(references.is_reasoning, found)):
            parts = await store.conversation(self._owner, response_id) or []
            await self._count(*parts[1:])
            read = len(record.body) + sum(map(len, parts))
            found = await decode(read, references.with_encrypted, found, record.body, parts)
        return found

    async def _count(self, *read: bytes) -> None:
        """Count what the items are read from. Raises InvalidRequest."""
        if exceeded := await self._total.add(*read):
            problem = f"The items that the input names are in responses and conversations with more than {exceeded} together."
            raise InvalidRequest(problem, param="input")


async def _previous(server: Server, who: Caller, previous: str) -> Sequence[bytes]:
    record = await server.store.get(who.owner, previous)
    sizes = await server.store.sizes(who.owner, previous)
    if record is not None and record.running:
        raise InvalidRequest("The previous response is still in progress.", param="previous_response_id")
    _check_size(sizes.conversation if sizes else 0, *_OF_RESPONSE)  # before it is read
    conversation = await server.store.conversation(who.owner, previous)
    if record is None or conversation is None or not record.of_response:
        raise ResponseNotFound(f"Previous response with id {previous!r} not found.", param="previous_response_id")
    return conversation
