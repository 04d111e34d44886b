"""What a client says over the WebSocket of the Responses API, and how a stream's events are told there.

OpenAI API reference, "WebSocket events": the events are those of a stream, with the lane of their request, its `stream_id`.
An error is an object of its own, with the status that it would have over HTTP.
"""

from typing import Annotated

import msgspec

from codex_proxy.dialects import body
from codex_proxy.dialects.common import ErrorObject
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.errors import InvalidRequest, UnsupportedParameter

_CREATE = "response.create"
_ENVELOPE = ("type", "stream_id", "stream")  # a stream is what there is


class Create(msgspec.Struct, frozen=True):
    """A request for a response: the body as POST /v1/responses has it, and the lane."""

    content: bytes
    stream_id: str | None


class ErrorEvent(msgspec.Struct, frozen=True, tag_field="type", tag="error", omit_defaults=True):
    """Something that went wrong; the socket lives on."""

    status: int
    error: ErrorObject
    stream_id: str | None = None


class _Envelope(msgspec.Struct, frozen=True):
    type: str
    stream_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    background: bool | None = None


def decode(raw: bytes) -> Create:
    """One message of a client. Raises InvalidRequest and UnsupportedParameter."""
    envelope = body.decode(raw, _Envelope)
    if envelope.type != _CREATE:
        raise InvalidRequest(f"Unknown event {envelope.type[:64]!r}. Known events: {_CREATE}.", param="type")
    if envelope.background:
        raise UnsupportedParameter("Over a WebSocket no response is made in the background. Use HTTP for that.", param="background")
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return Create(msgspec.json.encode({k: v for k, v in members.items() if k not in _ENVELOPE}), envelope.stream_id)


def stream_id_of(raw: bytes) -> str | None:
    """The lane that a message names which cannot be decoded; None where that cannot be told either."""
    try:
        return msgspec.json.decode(raw, type=_Envelope).stream_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def encode(event: StreamEvent | ErrorEvent, stream_id: str | None) -> str:
    """An event as it is told in a lane."""
    told = msgspec.json.encode(event)
    return (told if stream_id is None else told[:-1] + b',"stream_id":' + msgspec.json.encode(stream_id) + b"}").decode()
