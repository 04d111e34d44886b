"""A request of the Responses API, decoded, with the items of its caller's responses and conversations that it names by ids."""

from collections.abc import Callable
from typing import Any

from codex_proxy.dialects.responses import conversations, references
from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.dialects.responses.request import ResponsesRequest
from codex_proxy.errors import InvalidRequest
from codex_proxy.lifecycle.recent import Made
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.server import Server

_LARGEST = 64 * 1024 * 1024  # bytes

Recently = Callable[[str], Made | None]  # a response that is not stored, where that can be known
_Items = dict[str, dict[str, Any]]  # by id; Any: JSON


async def decoded(server: Server, who: Caller, content: bytes | bytearray, recent: Recently | None = None) -> ResponsesRequest:
    """The request that a body is, with the items that it names. Raises what `decode` does."""
    wanted = await server.decoding.run(len(content), references.wanted, content)
    kept = await _Lookup(server, who.owner, recent).all(wanted) if wanted else {}
    return await server.decoding.run(len(content), responses_request.decode, content, kept)


class _Lookup:
    """The search for the items that one request names."""

    def __init__(self, server: Server, owner: str, recent: Recently | None) -> None:
        self._server = server
        self._owner = owner
        self._recent = recent
        self._read = 0  # bytes

    async def all(self, wanted: frozenset[str]) -> _Items:
        """Those that are found."""
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
