"""The member `text` of a Responses request, and the members that an answer echoes."""

from typing import Annotated, Any

import msgspec

from codex_proxy.dialects.common import Verbosity
from codex_proxy.dialects.output_format import OutputFormat, json_object, json_schema
from codex_proxy.dialects.responses.objects import TextEcho


class TextFormat(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Plain text."""


class JsonObjectFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JsonSchemaFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_schema"):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    schema: dict[str, Any]  # Any: a JSON Schema
    strict: bool | None = None
    description: str | None = None


class TextOptions(msgspec.Struct, frozen=True):
    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: Verbosity | None = None


class Echo(msgspec.Struct, frozen=True):
    """The echoed members of a request that may be large, as JSON text to be written unchanged."""

    text: TextEcho
    tool_choice: msgspec.Raw
    tools: list[Any]  # Any: msgspec.Raw, where the answer has objects


def output_format(text: TextOptions | None, place: str = "text.format") -> OutputFormat:
    """Return the form that is requested at `place`. Raises InvalidRequest."""
    match text and text.format:
        case JsonObjectFormat():
            return json_object()
        case JsonSchemaFormat() as wanted:
            return json_schema(wanted.schema, strict=wanted.strict or False, place=f"{place}.schema")
        case _:
            return OutputFormat()


def echo(text: TextOptions | None, choice: str | dict[str, Any] | None, tools: list[dict[str, Any]] | None) -> Echo:
    return Echo(
        text=text_echo(text),
        tool_choice=_raw(choice or "auto"),
        tools=[_raw(_tool_echo(tool)) for tool in tools or []],
    )


def text_echo(text: TextOptions | None) -> TextEcho:
    options = text or TextOptions()
    return TextEcho(_format_echo(options), options.verbosity or msgspec.UNSET)


def _raw(value: Any) -> msgspec.Raw:  # Any: JSON
    return msgspec.Raw(msgspec.json.encode(value))


def _format_echo(text: TextOptions) -> dict[str, Any]:
    match text.format:
        case JsonSchemaFormat() as wanted:
            described = {"name": wanted.name, "description": wanted.description, "schema": _raw(wanted.schema)}
            return {"type": "json_schema", **described, "strict": wanted.strict or False}
        case JsonObjectFormat():
            return {"type": "json_object"}
        case _:
            return {"type": "text"}


def _tool_echo(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a tool in the form the API echoes: with every member, null when unset."""
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "name": None, "description": None, "parameters": None, "strict": None} | tool
