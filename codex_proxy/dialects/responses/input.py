"""The input of a Responses request, and the history that it is. OpenAI API reference, "Create a model response", input.

Every item that we send may come back as input: our own output items are among them.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from codex_proxy.dialects import body
from codex_proxy.dialects.images import image
from codex_proxy.dialects.responses.items import OutputItem
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.turns import Answered, Called, History, Message, Part, Phase, Reasoned, Role, Text, Verbatim, said

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "developer", "developer": "developer"}
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_MAX_FILE_BYTES = 1024 * 1024


class InputText(msgspec.Struct, frozen=True, tag_field="type", tag="input_text"):
    text: str


class InputImage(msgspec.Struct, frozen=True, tag_field="type", tag="input_image"):
    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(msgspec.Struct, frozen=True, tag_field="type", tag="input_file"):
    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None


class OutputTextPart(msgspec.Struct, frozen=True, tag_field="type", tag="output_text"):
    text: str


class RefusalPart(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class PlainText(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """What some clients send for input_text."""

    text: str


_Part = InputText | InputImage | InputFile | OutputTextPart | RefusalPart | PlainText


class MessageItem(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Part] | None
    phase: Phase | None = None


class FunctionCall(msgspec.Struct, frozen=True):
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class CustomToolCall(msgspec.Struct, frozen=True):
    call_id: str
    name: str
    input: str
    namespace: str | None = None


class CallOutput(msgspec.Struct, frozen=True):
    call_id: str
    output: str | list[_Part] | None


class SummaryPart(msgspec.Struct, frozen=True):
    text: str


class ReasoningInput(msgspec.Struct, frozen=True):
    id: str | None = None
    summary: list[SummaryPart] | None = None
    encrypted_content: str | None = None


class McpCallInput(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str
    output: str | None = None
    error: str | dict[str, Any] | None = None  # Any: differs by kind; told as it is


class _FreeformArgument(msgspec.Struct):
    input: str


def conversation(given: str | list[dict[str, Any]]) -> tuple[tuple[History, ...], tuple[Part, ...]]:
    """The history, and the input: the last message if it is the user's, else nothing, and the model goes on.

    Raises InvalidRequest or UnsupportedParameter, with the path of the member at fault.
    """
    if isinstance(given, str):
        if not given.strip():
            raise InvalidRequest("The input is empty.", param="input")
        return (), (Text(given),)
    history = [found for index, item in enumerate(given) for found in _items(item, f"input[{index}]")]
    last = history[-1] if history else None
    if isinstance(last, Message) and last.role == "user":
        if last.is_empty:
            raise InvalidRequest("The last message is empty.", param=f"input[{len(given) - 1}].content")
        return said(history[:-1]), last.parts
    history = [*said(history)]
    if not history:
        raise InvalidRequest("The input is empty.", param="input")
    return tuple(history), ()


def repeated(output: Iterable[OutputItem]) -> tuple[History, ...]:
    """The history that our own output items are when a client sends them back."""
    return history_of(msgspec.json.decode(msgspec.json.encode(list(output))), "output")


def history_of(given: list[dict[str, Any]], place: str) -> tuple[History, ...]:
    """The history that items are which stand at `place`. Raises InvalidRequest or UnsupportedParameter."""
    return tuple(found for index, item in enumerate(given) for found in _items(item, f"{place}[{index}]"))


def _items(item: dict[str, Any], place: str) -> list[History]:
    match item.get("type", "message"):
        case "message":
            return _message(body.convert(item, MessageItem, place), place)
        case "function_call":
            call = body.convert(item, FunctionCall, place)
            return [Called(call.call_id, call.name, call.arguments, call.namespace)]
        case "custom_tool_call":
            custom = body.convert(item, CustomToolCall, place)
            argument = msgspec.json.encode(_FreeformArgument(custom.input)).decode()
            return [Called(custom.call_id, custom.name, argument, custom.namespace)]
        case "function_call_output" | "custom_tool_call_output":
            output = body.convert(item, CallOutput, place)
            return [Answered(output.call_id, _parts(output.output, f"{place}.output"))]
        case "reasoning":
            thought = body.convert(item, ReasoningInput, place)
            summary = tuple(part.text for part in thought.summary or ())
            return [Reasoned(thought.id or "", summary, thought.encrypted_content)] if thought.encrypted_content else []
        case "mcp_call":  # the agent's own work, as we told it
            done = body.convert(item, McpCallInput, place)
            name = _NOT_IN_A_NAME.sub("_", done.name)
            return [Called(done.id, name, done.arguments, agents=True), Answered(done.id, (Text(_outcome(done)),), agents=True)]
        case "web_search_call":  # the provider's own work: what came of it is in the message after it
            return []
        case "item_reference":
            raise UnsupportedParameter("item_reference is not supported. Use previous_response_id instead.", param=place)
        case str(other):
            raise UnsupportedParameter(f"Input items of type {other[:64]!r} are not supported.", param=f"{place}.type")
        case _:
            raise InvalidRequest("The type of an item must be a string.", param=f"{place}.type")


def _outcome(done: McpCallInput) -> str:
    problem = "" if done.error is None else f"Error: {msgspec.json.encode(done.error).decode()}"
    return "\n".join(filter(None, (done.output, problem)))


def _message(message: MessageItem, place: str) -> list[History]:
    return [Message(_ROLES[message.role], _parts(message.content, f"{place}.content"), message.phase)]


def check_calls(history: Iterable[History]) -> None:
    """Every call of the client's tools has its output, and every output its call. Raises InvalidRequest."""
    called: set[str] = set()
    answered: set[str] = set()
    for item in history:
        match item:
            case Called(call_id=call_id) | Verbatim(calls=str(call_id)):
                called.add(call_id)
            case Answered(call_id=call_id) if call_id not in called:
                raise InvalidRequest(f"No tool call found for function call output with call_id {call_id[:140]}.", param="input")
            case Answered(call_id=call_id):
                answered.add(call_id)
    if unanswered := called - answered:
        raise InvalidRequest(f"No tool output found for function call {min(unanswered)[:140]}.", param="input")


def _parts(content: str | list[_Part] | None, place: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_part(part, f"{place}[{index}]") for index, part in enumerate(content or ()))


def _part(part: _Part, place: str) -> Part:
    match part:
        case InputText() | OutputTextPart() | PlainText():
            return Text(part.text)
        case RefusalPart():
            return Text(part.refusal)
        case InputImage(image_url=str(url)):
            return image(url, part.detail, f"{place}.image_url")
        case InputImage():
            raise UnsupportedParameter("Send images in image_url; file ids are not supported.", param=place)
        case InputFile():
            return Text(_file_text(part, place))


def _file_text(part: InputFile, place: str) -> str:
    """A text file, as text."""
    if part.file_data is None:
        raise UnsupportedParameter("Send files in file_data; URLs and file ids are not supported.", param=place)
    encoded = part.file_data.rpartition("base64,")[2]
    if len(encoded) > _MAX_FILE_BYTES * 4 // 3:
        raise InvalidRequest(f"A file can have up to {_MAX_FILE_BYTES // 1024} kB.", param=f"{place}.file_data")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise UnsupportedParameter("Only text files in base64 are supported.", param=f"{place}.file_data") from error
    return f"File {part.filename or 'without a name'}:\n{text}"
