"""Client messages on the WebSocket of the Responses API, and the encoding of events for it.

OpenAI API reference, "WebSocket events": the events are those of a stream, plus the `stream_id` (lane) of their request. An error
is a separate object, with the status that it would have over HTTP.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from codex_proxy.dialects import body
from codex_proxy.dialects.common import ErrorObject
from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.items import CustomToolCallItem, FunctionCallItem, OutputItem
from codex_proxy.dialects.responses.replay import history_of
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.history import Message, Text

_CREATE, _STEER = "response.create", "response.steer"
_ENVELOPE = ("type", "stream_id", "stream")  # `stream` is implied


_FOR_THIS_INPUT = ("input", "previous_response_id", "generate")  # what a successor does not inherit
_SAID = {"type", "role", "content"}


class Create(msgspec.Struct, frozen=True):
    """A request for a response: a body like that of POST /v1/responses, and its lane.

    `settings` are the members inherited by a response that continues from it automatically.
    """

    content: bytes
    stream_id: str | None
    previous_response_id: str | None = None
    settings: bytes = b"{}"

    def after(self, steers: list["Steer"], content: bytes | bytearray) -> "Create":
        """Return this request with other content, and with the steering inputs put before its input."""
        members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        given = _items(members["input"]) if "input" in members else []
        return msgspec.structs.replace(self, content=msgspec.json.encode(members | {"input": [*_said(steers), *given]}))

    def successor(self, response_id: str, steers: list["Steer"]) -> "Create":
        """Return a request that continues from the response with the steering inputs."""
        settings = msgspec.json.decode(self.settings, type=dict[str, msgspec.Raw])
        content = msgspec.json.encode(settings | {"input": _said(steers), "previous_response_id": response_id})
        return msgspec.structs.replace(self, content=content, previous_response_id=response_id)


class Steer(msgspec.Struct, frozen=True):
    """Input sent while a response is in progress."""

    previous_response_id: str
    input: msgspec.Raw

    @property
    def size(self) -> int:
        """The size of the input in bytes."""
        return memoryview(self.input).nbytes

    def check(self) -> None:
        """Raise InvalidRequest if the input has anything but user messages."""
        decoded = msgspec.json.decode(msgspec.json.encode(self.said()), type=list[dict[str, Any]])
        history = history_of(decoded, "input")
        alien = any(set(item) - _SAID or item.get("role") != "user" for item in decoded)
        if alien or not all(isinstance(item, Message) for item in history):
            raise InvalidRequest("Steering takes messages of the user only, with type, role and content.", param="input")
        parts = [part for item in history if isinstance(item, Message) for part in item.parts]
        if not any(not isinstance(part, Text) or part.text.strip() for part in parts):
            raise InvalidRequest("The input is empty.", param="input")

    def said(self) -> list[msgspec.Raw]:
        """Return the messages of the input. Raises InvalidRequest if it is not an input."""
        return _items(self.input)


class Accepted(msgspec.Struct, frozen=True):
    """Steering input that was accepted and queued."""

    id: str
    previous_response_id: str


class Returned(msgspec.Struct, frozen=True, omit_defaults=True):
    """Steering input that was not used and is returned."""

    input: msgspec.Raw
    previous_response_id: str
    id: str | None = None


class SteerError(msgspec.Struct, frozen=True):
    code: str
    message: str
    type: Literal["invalid_request_error"] = "invalid_request_error"


class RequiredInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """Input that is required before the steering input can be used. `name` is set for function outputs only."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: str
    name: str | None = None


class SteerAccepted(msgspec.Struct, frozen=True, tag_field="type", tag="response.steer.accepted"):
    sequence_number: int
    steer: Accepted


class SteerPending(msgspec.Struct, frozen=True, tag_field="type", tag="response.steer.pending"):
    sequence_number: int
    steer: Accepted
    required_input: tuple[RequiredInput, ...]
    reason: Literal["waiting_for_required_input"] = "waiting_for_required_input"


class SteerFailed(msgspec.Struct, frozen=True, tag_field="type", tag="response.steer.failed"):
    sequence_number: int
    error: SteerError
    steer: Returned


class ErrorEvent(msgspec.Struct, frozen=True, tag_field="type", tag="error", omit_defaults=True):
    """An error. The socket stays open."""

    status: int
    error: ErrorObject
    stream_id: str | None = None


ServerEvent = StreamEvent | ErrorEvent | SteerAccepted | SteerPending | SteerFailed


class _Envelope(msgspec.Struct, frozen=True):
    type: str
    stream_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    background: bool | None = None
    previous_response_id: str | None = None


def decode(raw: bytes) -> Create | Steer:
    """Decode one client message. Raises InvalidRequest and UnsupportedParameter."""
    envelope = body.decode(raw, _Envelope)
    if envelope.type == _STEER:
        return body.decode(raw, Steer)
    if envelope.type != _CREATE:
        raise InvalidRequest(f"Unknown event {envelope.type[:64]!r}. Known events: {_CREATE}, {_STEER}.", param="type")
    if envelope.background:
        raise UnsupportedParameter("Over a WebSocket no response is made in the background. Use HTTP for that.", param="background")
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    request = {name: value for name, value in members.items() if name not in _ENVELOPE}
    settings = {name: value for name, value in request.items() if name not in _FOR_THIS_INPUT}
    content = msgspec.json.encode(request)
    return Create(content, envelope.stream_id, envelope.previous_response_id, msgspec.json.encode(settings))


def required(output: Iterable[OutputItem]) -> tuple[RequiredInput, ...]:
    """Return the outputs that the client still owes a response."""
    calls = [item for item in output if isinstance(item, FunctionCallItem | CustomToolCallItem)]
    return tuple(
        RequiredInput("function_call_output", call.call_id, call.name)
        if isinstance(call, FunctionCallItem)
        else RequiredInput("custom_tool_call_output", call.call_id)
        for call in calls
    )


def _said(steers: list[Steer]) -> list[msgspec.Raw]:
    return [said for steer in steers for said in steer.said()]


def _items(given: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the items of an input. Raises InvalidRequest if it is not an input."""
    try:
        found: str | list[msgspec.Raw] | None = msgspec.json.decode(given, type=str | list[msgspec.Raw] | None)
    except msgspec.ValidationError as error:
        raise InvalidRequest("Invalid value for 'input': expected text or a list of items.", param="input") from error
    if isinstance(found, str):
        return [msgspec.Raw(msgspec.json.encode({"type": "message", "role": "user", "content": found}))]
    return found or []


def stream_id_of(raw: bytes) -> str | None:
    """Return the lane of a message that cannot be decoded; None if even that is unreadable."""
    try:
        return msgspec.json.decode(raw, type=_Envelope).stream_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def encode(event: ServerEvent, stream_id: str | None) -> bytes:
    """Encode an event for a lane."""
    told = msgspec.json.encode(event)
    return told if stream_id is None else told[:-1] + b',"stream_id":' + msgspec.json.encode(stream_id) + b"}"
