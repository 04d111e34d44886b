"""The messages of a chat request, and their conversion to history. OpenAI API reference, "Create chat completion", messages."""

from typing import Annotated, Any, Literal

import msgspec

from codex_proxy.dialects import bounds, files, freeform
from codex_proxy.dialects.call_ids import CallIds
from codex_proxy.dialects.images import image
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.history import Answered, Called, History, Message, Part, Text, said


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class RefusalPart(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class ImageUrl(msgspec.Struct, frozen=True):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class AudioPart(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    """Known, and refused by name."""


class File(msgspec.Struct, frozen=True):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    file: File


UserPart = TextPart | ImagePart | AudioPart | FilePart


class SystemMessage(msgspec.Struct, frozen=True, tag_field="role", tag="system"):
    content: str | list[TextPart] | None
    name: str | None = None


class DeveloperMessage(msgspec.Struct, frozen=True, tag_field="role", tag="developer"):
    content: str | list[TextPart] | None
    name: str | None = None


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    content: str | list[UserPart] | None
    name: str | None = None


_Name = Annotated[str, msgspec.Meta(min_length=1)]


class FunctionCall(msgspec.Struct, frozen=True):
    name: _Name
    arguments: str


class CustomCall(msgspec.Struct, frozen=True):
    name: _Name
    input: str


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call of the assistant, as it was sent to the client. Some clients omit the type or the id."""

    id: str | None = None
    function: FunctionCall | None = None
    custom: CustomCall | None = None
    type: Literal["function", "custom"] = "function"


class AssistantMessage(msgspec.Struct, frozen=True, tag_field="role", tag="assistant"):
    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: dict[str, Any] | None = None  # Any: refused
    audio: dict[str, Any] | None = None  # Any: refused


class ToolMessage(msgspec.Struct, frozen=True, tag_field="role", tag="tool"):
    content: str | list[UserPart] | None
    tool_call_id: str | None = None


class FunctionMessage(msgspec.Struct, frozen=True, tag_field="role", tag="function"):
    """Known, and refused by name."""


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


def conversation(messages: list[ChatMessage]) -> tuple[tuple[History, ...], tuple[Part, ...]]:
    """Split the messages into history and input: the last message if it is the user's, else nothing, and the model continues.

    Raises InvalidRequest, also for calls without results and results without calls.
    """
    history: list[History] = []
    ids = CallIds()
    for index, message in enumerate(messages):
        if ids.open is not None and not isinstance(message, ToolMessage):
            raise _unanswered(ids.open, index)
        history += _items(message, f"messages[{index}]", ids)
    bounds.at_most(bounds.ITEMS, len(history), "messages and tool calls", "messages")
    if ids.open is not None:
        raise _unanswered(ids.open, len(messages) - 1)
    last = history[-1] if history else None
    if isinstance(messages[-1], UserMessage) and isinstance(last, Message):
        if last.is_empty:
            raise InvalidRequest("The last message is empty.", param=f"messages[{len(messages) - 1}].content")
        return said(history[:-1]), last.parts
    told = said(history)
    if not told:
        raise InvalidRequest("The messages are empty.", param="messages")
    return told, ()


def _items(message: ChatMessage, place: str, ids: CallIds) -> list[History]:
    match message:
        case SystemMessage() | DeveloperMessage():
            return [Message("developer", _texts(message.content))]
        case UserMessage():
            return [Message("user", _parts(message.content, place))]
        case AssistantMessage():
            _refuse_unsupported(message, place)
            refused = (Text(message.refusal),) if message.refusal else ()
            words = _texts(message.content) + refused
            calls = message.tool_calls or []
            if not (calls or message.refusal or message.content is not None):
                raise InvalidRequest(f"Missing required parameter: '{place}.content'.", param=f"{place}.content")
            spoken: list[History] = [Message("assistant", words)]
            return [*spoken, *(_called(call, f"{place}.tool_calls[{index}]", ids) for index, call in enumerate(calls))]
        case ToolMessage():
            called = ids.answered(message.tool_call_id)
            if called is None:
                problem = "A message with role 'tool' must answer a tool call of the assistant message before it."
                raise InvalidRequest(problem, param=f"{place}.tool_call_id")
            return [Answered(called, _parts(message.content, place))]
        case FunctionMessage():
            raise UnsupportedParameter("The role 'function' is not supported. Use 'tool' instead.", param=f"{place}.role")


def _refuse_unsupported(message: AssistantMessage, place: str) -> None:
    if message.function_call is not None:
        raise UnsupportedParameter("Send calls in 'tool_calls', its successor.", param=f"{place}.function_call")
    if message.audio is not None:
        raise UnsupportedParameter("Audio is not supported. Send its transcript as 'content'.", param=f"{place}.audio")


def named(messages: list[ChatMessage]) -> bool:
    """Return whether a message has a `name`, for which Codex has no counterpart."""
    return any(message.name for message in messages if not isinstance(message, ToolMessage | FunctionMessage))


def _called(call: ToolCall, place: str, ids: CallIds) -> Called:
    if call.type == "custom" and call.custom is not None:
        return Called(ids.called(call.id), call.custom.name, freeform.argument(call.custom.input))
    if call.type == "custom" or call.function is None:
        raise InvalidRequest(f"Missing required parameter: '{place}.{call.type}'.", param=f"{place}.{call.type}")
    return Called(ids.called(call.id), call.function.name, call.function.arguments)


def _unanswered(call: str, index: int) -> InvalidRequest:
    return InvalidRequest(f"The tool call {call[:140]!r} has no result.", param=f"messages[{index}]")


def _texts(content: str | list[TextPart] | list[TextPart | RefusalPart] | None) -> tuple[Text, ...]:
    if isinstance(content, str):
        return (Text(content),)
    return tuple(Text(part.text if isinstance(part, TextPart) else part.refusal) for part in content or ())


def _parts(content: str | list[UserPart] | None, place: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_part(part, f"{place}.content[{index}]") for index, part in enumerate(content or ()))


def _part(part: UserPart, place: str) -> Part:
    match part:
        case TextPart():
            return Text(part.text)
        case ImagePart():
            return image(part.image_url.url, part.image_url.detail, f"{place}.image_url.url")
        case FilePart(file=File(file_data=str(data), filename=filename)):
            return files.part(data, filename, f"{place}.file.file_data")
        case FilePart():
            raise UnsupportedParameter("Send files in file.file_data; file ids are not supported.", param=f"{place}.file")
        case AudioPart():
            raise UnsupportedParameter("Audio is not supported.", param=place)
