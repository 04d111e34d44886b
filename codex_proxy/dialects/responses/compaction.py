"""Compaction: a long conversation reduced to its user messages and one item that sums up the rest. OpenAI API reference, "Compact".

The item's content is opaque to clients, as the API says, but not secret: it is the model's summary of the client's own
conversation. Any instance can read it back; items made by other servers cannot be read.
"""

import base64
import binascii
import zlib
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from codex_proxy.dialects import body, bounds
from codex_proxy.dialects.responses.items import CompactionItem
from codex_proxy.dialects.responses.objects import ResponseUsage
from codex_proxy.errors import InvalidRequest, UnsupportedParameter, UpstreamFailed
from codex_proxy.history import Image, Message, Part, Text

TRIGGER = "compaction_trigger"
_MARK = "codex-proxy-1:"
_PASSED_ON = ("model", "instructions", "previous_response_id", "conversation", "service_tier", "prompt_cache_key", "user")
_PROMPT = (
    "The conversation so far is about to be replaced by a summary. Write that summary, for the model that goes on from it: what "
    "the user wants, in all its parts; what was decided and why; what was done and what came of it, with names, values, paths and "
    "results that will be needed; what is open, and what would have been next. Leave nothing out that cannot be found out again, "
    "repeat nothing that the user's own messages say, and write nothing but the summary."
)
_WITH_USERS_WORDS = " Nothing else of the conversation is kept: give the user's own words where their wording matters."
_INTRODUCTION = "Summary of the conversation before this point:\n"


class CompactBody(msgspec.Struct, frozen=True):
    """POST /v1/responses/compact; each member as in POST /v1/responses."""

    model: str | None = None
    input: str | list[dict[str, Any]] | None = None  # Any: items
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    user: str | None = None
    x_codex: dict[str, Any] | None = None


class CompactedMessage(msgspec.Struct, frozen=True, tag_field="type", tag="message"):
    """A message of the user or a developer, unchanged."""

    id: str
    role: Literal["user", "developer"]
    content: tuple[dict[str, str], ...]
    status: Literal["completed"] = "completed"


class CompactedResponse(msgspec.Struct, frozen=True, tag_field="object", tag="response.compaction"):
    """A compacted conversation. `output` is the input for the next request."""

    id: str
    created_at: int
    output: tuple[CompactedMessage | CompactionItem, ...]
    usage: ResponseUsage


class CompactionInput(msgspec.Struct, frozen=True):
    encrypted_content: str


def as_request(raw: bytes | bytearray) -> bytes:
    """Return the body of the request that produces the summary: in chat mode, without tools. Raises InvalidRequest."""
    asked = body.decode(raw, CompactBody)
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    if asked.input is None and asked.previous_response_id is None and asked.conversation is None:
        raise InvalidRequest("Missing required parameter: 'input'.", param="input")
    given: list[Any] = asked.input if isinstance(asked.input, list) else [_said(asked.input)] if asked.input else []
    bounds.at_most(bounds.ITEMS, len(given), "items", "input")
    request: dict[str, Any] = {name: members[name] for name in _PASSED_ON if name in members}
    extra = (asked.x_codex or {}) | {"mode": "chat"}
    return msgspec.json.encode(request | {"input": [*given, _said(_PROMPT)], "x_codex": extra, "store": False})


def kept(history: Iterable[object], name: str) -> tuple[CompactedMessage, ...]:
    """Return the messages of users and developers, which a compaction leaves as they are."""
    spoken = [item for item in history if isinstance(item, Message)]
    return tuple(
        CompactedMessage(f"msg_{name}{number}", item.role, tuple(_part(part) for part in item.parts))
        for number, item in enumerate(spoken)
        if item.role != "assistant" and item.parts
    )


def without_summary(why: str = "The model wrote no summary.") -> UpstreamFailed:
    """Return the error of a turn that ended without a whole summary. It has begun, so a client must not send it again."""
    return UpstreamFailed(why, begun=True)


def is_triggered(given: str | list[dict[str, Any]] | None) -> bool:
    """Return whether an input ends in a compaction_trigger; its answer is a compaction item that replaces everything before it."""
    return isinstance(given, list) and bool(given) and given[-1].get("type") == TRIGGER


def question(given: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return the input of the turn that writes the summary for a compaction_trigger."""
    return [*(given[:-1] if isinstance(given, list) else ()), _said(_PROMPT + _WITH_USERS_WORDS)]


def item(summary: str, name: str) -> CompactionItem:
    """Build a compaction item; `name` is its complete id."""
    packed = base64.b64encode(zlib.compress(summary.encode())).decode()
    return CompactionItem(name, f"{_MARK}{packed}")


def as_message(given: dict[str, Any], place: str) -> Message:
    """Convert a compaction item to a message for the model. Raises UnsupportedParameter for an item made by another server."""
    content = body.convert(given, CompactionInput, place).encrypted_content
    try:
        if not content.startswith(_MARK):
            raise ValueError("another server's")
        unpacking = zlib.decompressobj()
        summary = unpacking.decompress(base64.b64decode(content.removeprefix(_MARK), validate=True), bounds.INSTRUCTIONS).decode()
        if unpacking.unconsumed_tail:
            raise ValueError("too large")
    except (ValueError, binascii.Error, zlib.error) as error:
        problem = "This compaction item was made by another server, and only that can read it. Send the conversation instead."
        raise UnsupportedParameter(problem, param=f"{place}.encrypted_content") from error
    return told(summary)


def told(summary: str) -> Message:
    """Return the message that gives a summary to the model."""
    return Message("assistant", (Text(_INTRODUCTION + summary),))


def _said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def _part(part: Part) -> dict[str, str]:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            return {"type": "input_image", "image_url": part.url, "detail": part.detail or "auto"}
