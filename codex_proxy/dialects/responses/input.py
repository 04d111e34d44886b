"""The items of a Responses request's input, and their content. OpenAI API reference, "Create a model response", input."""

from typing import Annotated, Literal

import msgspec

from codex_proxy.dialects import files
from codex_proxy.dialects.images import image
from codex_proxy.errors import UnsupportedParameter
from codex_proxy.history import Part, Phase, Text

Name = Annotated[str, msgspec.Meta(min_length=1)]


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


class InputAudio(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    """Known, and refused by name."""


class OutputTextPart(msgspec.Struct, frozen=True, tag_field="type", tag="output_text"):
    text: str


class RefusalPart(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class PlainText(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """The form that some clients send instead of input_text."""

    text: str


_Part = InputText | InputImage | InputFile | InputAudio | OutputTextPart | RefusalPart | PlainText


class MessageItem(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Part] | None
    phase: Phase | None = None


class FunctionCall(msgspec.Struct, frozen=True):
    name: Name
    arguments: str
    call_id: str | None = None
    namespace: str | None = None


class CustomToolCall(msgspec.Struct, frozen=True):
    name: Name
    input: str
    call_id: str | None = None
    namespace: str | None = None


class CallOutput(msgspec.Struct, frozen=True):
    output: str | list[_Part] | None
    call_id: str | None = None


class SummaryPart(msgspec.Struct, frozen=True):
    text: str


class ReasoningInput(msgspec.Struct, frozen=True):
    id: str | None = None
    summary: list[SummaryPart] | None = None
    encrypted_content: str | None = None


class McpApproval(msgspec.Struct, frozen=True):
    approval_request_id: str
    approve: bool
    reason: str | None = None


def parts(content: str | list[_Part] | None, place: str) -> tuple[Part, ...]:
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
            return _file(part, place)
        case InputAudio():
            raise UnsupportedParameter("Audio is not supported.", param=place)


def _file(part: InputFile, place: str) -> Part:
    if part.file_data is None:
        raise UnsupportedParameter("Send files in file_data; URLs and file ids are not supported.", param=place)
    return files.part(part.file_data, part.filename, f"{place}.file_data")
