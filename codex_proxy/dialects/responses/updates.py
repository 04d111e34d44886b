"""Items that change the rest of a conversation: additional tools, another effort, another form of answers.

They are stored with its history.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from codex_proxy.dialects import body
from codex_proxy.dialects.common import Effort
from codex_proxy.dialects.responses import compaction, tools
from codex_proxy.dialects.responses.output_text import JsonObjectFormat, JsonSchemaFormat, TextFormat, TextOptions, output_format
from codex_proxy.history import History
from codex_proxy.turns import Tool


class ToolsUpdate(msgspec.Struct, frozen=True, tag="tools_update"):
    """Tools available from here on, besides those of the request."""

    tools: tuple[Tool, ...]
    web_search: bool = False


class EffortUpdate(msgspec.Struct, frozen=True, tag="effort_update"):
    """The effort from here on, until the next update."""

    effort: str


class FormUpdate(msgspec.Struct, frozen=True, tag="form_update"):
    """The form of answers from here on, until the next update: a `text.format`, as JSON text."""

    format: str


class Compacted(msgspec.Struct, frozen=True, tag="compacted"):
    """A summary that replaces everything before it, requested by a compaction_trigger. Occurs only in stored conversations."""

    summary: str


Update = ToolsUpdate | EffortUpdate | FormUpdate
Given = History | Update


class MoreTools(msgspec.Struct, frozen=True):
    """An additional_tools or tool_search_output item."""

    tools: list[dict[str, Any]]  # Any: decoded by their type


class _Reasoning(msgspec.Struct, frozen=True):
    effort: Effort | None = None


class _Text(msgspec.Struct, frozen=True):
    format: TextFormat | JsonObjectFormat | JsonSchemaFormat


class ConfigurationUpdate(msgspec.Struct, frozen=True):
    reasoning: _Reasoning | None = None
    text: _Text | None = None


def more_tools(item: dict[str, Any], place: str) -> list[Given]:
    offered = tools.gathered(body.convert(item, MoreTools, place).tools, f"{place}.tools")
    return [ToolsUpdate(offered.tools, offered.web_search)]


def configuration(item: dict[str, Any], place: str) -> list[Given]:
    update = body.convert(item, ConfigurationUpdate, place)
    found: list[Given] = []
    if update.reasoning is not None and update.reasoning.effort:
        found.append(EffortUpdate(update.reasoning.effort))
    if update.text is not None:
        output_format(TextOptions(update.text.format), f"{place}.text.format")
        found.append(FormUpdate(msgspec.json.encode(update.text.format).decode()))
    return found


def since_compaction(kept: Iterable[Given | Compacted]) -> tuple[Given, ...]:
    """Return what a stored conversation continues with: its last summary and later items, and the updates before that summary."""
    found: list[Given] = []
    for item in kept:
        if isinstance(item, Compacted):
            found = [*(one for one in found if isinstance(one, Update)), compaction.told(item.summary)]
        else:
            found.append(item)
    return tuple(found)


def history_in(given: Iterable[Given]) -> tuple[History, ...]:
    """Return the items that the model gets to see."""
    return tuple(item for item in given if not isinstance(item, Update))


def offered(first: tools.Offered, given: Iterable[Given]) -> tools.Offered:
    """Merge the request's tools with the conversation's; a later tool replaces an earlier one of the same name, in its position."""
    found = {(tool.namespace, tool.name): tool for tool in first.tools}
    if len(found) < len(first.tools):
        return first  # a duplicate name, refused elsewhere
    web_search = first.web_search
    for update in given:
        if isinstance(update, ToolsUpdate):
            found |= {(tool.namespace, tool.name): tool for tool in update.tools}
            web_search = web_search or update.web_search
    return msgspec.structs.replace(first, tools=tuple(found.values()), web_search=web_search)


def effort(given: Iterable[Given]) -> str | None:
    """Return the latest effort, if any."""
    return next((item.effort for item in reversed([*given]) if isinstance(item, EffortUpdate)), None)


def text(given: Iterable[Given], asked: TextOptions | None) -> TextOptions | None:
    """Return the request's text options with the latest form, if any."""
    latest = next((item.format for item in reversed([*given]) if isinstance(item, FormUpdate)), None)
    if latest is None:
        return asked
    form = msgspec.json.decode(latest, type=TextFormat | JsonObjectFormat | JsonSchemaFormat)
    return msgspec.structs.replace(asked or TextOptions(), format=form)
