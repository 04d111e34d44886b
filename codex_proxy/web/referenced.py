"""A request of the Responses API, decoded, with the items of the caller's kept responses that it names by their ids."""

from typing import Any

from codex_proxy.dialects.responses import references
from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.dialects.responses.request import ResponsesRequest
from codex_proxy.errors import InvalidRequest
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.server import Server

_LARGEST = 64 * 1024 * 1024  # bytes


async def decoded(server: Server, who: Caller, content: bytes | bytearray) -> ResponsesRequest:
    """The request that a body is, with the kept items that it names. Raises what `decode` does."""
    wanted = await server.decoding.run(len(content), references.wanted, content)
    kept = await _kept(server, who.owner, wanted) if wanted else {}
    return await server.decoding.run(len(content), responses_request.decode, content, kept)


async def _kept(server: Server, owner: str, wanted: frozenset[str]) -> dict[str, dict[str, Any]]:  # Any: JSON
    found: dict[str, dict[str, Any]] = {}
    size = 0
    for response_id, names in references.responses_of(wanted).items():
        record = await server.store.get(owner, response_id)
        if record is None or record.running or not record.of_response:
            continue
        size += len(record.body)
        theirs = await server.decoding.run(len(record.body), references.in_output, names, record.body)
        if missing := names - theirs.keys():
            given = await server.store.input_items(owner, response_id) or b"[]"
            size += len(given)
            theirs |= await server.decoding.run(len(given), references.in_input, missing, given)
        if size > _LARGEST:
            raise InvalidRequest(
                f"The items that the input names are in responses of more than {_LARGEST // 2**20} MB.", param="input"
            )
        if any(map(references.is_reasoning, theirs)):
            parts = await server.store.conversation(owner, response_id) or []
            read = len(record.body) + sum(map(len, parts))
            theirs = await server.decoding.run(read, references.with_encrypted, theirs, record.body, parts)
        found |= theirs
    return found
