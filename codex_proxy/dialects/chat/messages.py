"""The messages of a chat request, and the history that they are. OpenAI API reference, "Create chat completion", messages."""

from collections import Counter
from typing import Literal

import msgspec

from codex_proxy.dialects import bounds, files
from codex_proxy.dialects.images import image
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.turns import Answered, Called, History, Message, Part, Text, said


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


class FunctionCall(msgspec.Struct, frozen=True):
    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True):
    """A call of the assistant's, as we gave it to the client."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class AssistantMessage(msgspec.Struct, frozen=True, tag_field="role", tag="assistant"):
    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(msgspec.Struct, frozen=True, tag_field="role", tag="tool"):
    content: str | list[UserPart] | None
    tool_call_id: str


class FunctionMessage(msgspec.Struct, frozen=True, tag_field="role", tag="function"):
    """Known, and refused by name."""


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


def conversation(messages: list[ChatMessage]) -> tuple[tuple[History, ...], tuple[Part, ...]]:
    """The history, and the input: the last message if it is the user's, else nothing, and the model goes on.

    Raises InvalidRequest, also for calls without results and results without calls.
    """
    history: list[History] = []
    for index, message in enumerate(messages):
        history += _items(message, f"messages[{index}]")
    bounds.at_most(bounds.ITEMS, len(history), "messages and tool calls", "messages")
    _check_calls(messages)
    last = history[-1] if history else None
    if isinstance(messages[-1], UserMessage) and isinstance(last, Message):
        if last.is_empty:
            raise InvalidRequest("The last message is empty.", param=f"messages[{len(messages) - 1}].content")
        return said(history[:-1]), last.parts
    told = said(history)
    if not told:
        raise InvalidRequest("The messages are empty.", param="messages")
    return told, ()


def _items(message: ChatMessage, place: str) -> list[History]:
    match message:
        case SystemMessage() | DeveloperMessage():
            return [Message("developer", _texts(message.content))]
        case UserMessage():
            return [Message("user", _parts(message.content, place))]
        case AssistantMessage():
            refused = (Text(message.refusal),) if message.refusal else ()
            words = _texts(message.content) + refused
            calls = message.tool_calls or []
            if not (calls or message.refusal or message.content is not None):
                raise InvalidRequest("Missing required parameter: 'content'.", param=f"{place}.content")
            spoken: list[History] = [Message("assistant", words)]
            return [*spoken, *(Called(call.id, call.function.name, call.function.arguments) for call in calls)]
        case ToolMessage():
            return [Answered(message.tool_call_id, _parts(message.content, place))]
        case FunctionMessage():
            raise UnsupportedParameter("The role 'function' is not supported. Use 'tool' instead.", param=f"{place}.role")


def _check_calls(messages: list[ChatMessage]) -> None:
    """Every call has one result, after it, and before anything else is said."""
    open_calls: dict[str, int] = {}  # by id, in their order; how many have it
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                problem = "A message with role 'tool' must answer a tool call of the assistant message before it."
                raise InvalidRequest(problem, param=f"messages[{index}].tool_call_id")
            open_calls[message.tool_call_id] -= 1
            if not open_calls[message.tool_call_id]:
                del open_calls[message.tool_call_id]
            continue
        if open_calls:
            raise _unanswered(open_calls, index)
        if isinstance(message, AssistantMessage):
            open_calls = dict(Counter(call.id for call in message.tool_calls or []))
    if open_calls:
        raise _unanswered(open_calls, len(messages) - 1)


def _unanswered(calls: dict[str, int], index: int) -> InvalidRequest:
    first = next(iter(calls))[:140]
    return InvalidRequest(f"The tool call {first!r} has no result.", param=f"messages[{index}]")


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
