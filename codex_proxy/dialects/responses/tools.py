"""The tools of a Responses request. OpenAI API reference, "Create a model response", tools and tool_choice.

Served: functions, custom tools (their text travels as a function's one argument), namespaces of both, web_search. What
Codex as a client sends beside these and does without is ignored, and said to be; anything else is refused by name.
"""

from typing import Any, Literal

import msgspec

from codex_proxy.dialects import body, bounds
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.turns import Tool

_WEB_SEARCH = "web_search"  # and its dated and preview names, which begin with it
_DONE_WITHOUT = ("tool_search", "image_generation")
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
_FREEFORM_NOTE = "\n\nThe argument `input` is the tool's whole input, as plain text."


class Function(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None  # Any: a JSON Schema
    strict: bool | None = None


class Custom(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None


class Namespace(msgspec.Struct, frozen=True):
    name: str
    tools: list[dict[str, Any]]  # Any: decoded by their type
    description: str | None = None


class Offered(msgspec.Struct, frozen=True):
    """What the model is offered. `ignored`: what has no effect, for the header."""

    tools: tuple[Tool, ...]
    must_call: bool
    web_search: bool
    ignored: tuple[str, ...]


class Named(msgspec.Struct, frozen=True):
    name: str


class AllowedTools(msgspec.Struct, frozen=True):
    mode: Literal["auto", "required"]
    tools: list[Named]


def decode(given: list[dict[str, Any]], choice: str | dict[str, Any] | None) -> Offered:
    """Raises InvalidRequest or UnsupportedParameter, naming the place."""
    tools: list[Tool] = []
    ignored: list[str] = []
    web_search = False
    passed = bounds.PassedOn("tools")
    for index, tool in enumerate(given):
        place = f"tools[{index}]"
        type_ = tool.get("type")
        if isinstance(type_, str) and type_.startswith(_WEB_SEARCH):
            web_search = True
        elif type_ in _DONE_WITHOUT:
            ignored += [name for name in (f"tools.{type_}",) if name not in ignored]  # two at most
        elif type_ == "namespace":
            group = body.convert(tool, Namespace, place)
            bounds.at_most(bounds.ALL_TOOLS, len(tools) + len(group.tools), "tools", place)
            tools += [_tool(inner, f"{place}.tools[{n}]", group.name, passed) for n, inner in enumerate(group.tools)]
        else:
            tools.append(_tool(tool, place, None, passed))
    if choice == "none":
        return Offered((), False, False, tuple(ignored))
    names = _wanted_names(choice)
    chosen = tuple(tool for tool in tools if names is None or tool.name in names)
    must_call = choice == "required" or (isinstance(choice, dict) and choice.get("mode", "required") == "required")
    if must_call and not chosen:
        raise InvalidRequest("tool_choice names a tool that is not in tools.", param="tool_choice")
    return Offered(chosen, must_call, web_search, tuple(ignored))


def _tool(tool: dict[str, Any], place: str, namespace: str | None, passed: bounds.PassedOn) -> Tool:
    match tool.get("type"):
        case "function":
            function = body.convert(tool, Function, place)
            parameters = passed.text_of(function.parameters or _NO_PARAMETERS, f"{place}.parameters")
            return Tool(function.name, passed.text(function.description or ""), parameters, namespace, place=place)
        case "custom":
            custom = body.convert(tool, Custom, place)
            return Tool(
                custom.name, passed.text(custom.description or "") + _FREEFORM_NOTE, "{}", namespace, freeform=True, place=place
            )
        case str(other):
            raise UnsupportedParameter(f"Tools of type {other[:64]!r} are not supported.", param=f"{place}.type")
        case _:
            raise InvalidRequest("Missing required parameter: 'type'.", param=f"{place}.type")


def _wanted_names(choice: str | dict[str, Any] | None) -> set[str] | None:
    """The names that tool_choice confines the tools to; None: it does not."""
    if not isinstance(choice, dict):
        return None
    match choice.get("type"):
        case "function" | "custom":
            return {body.convert(choice, Named, "tool_choice").name}
        case "allowed_tools":
            allowed = body.convert(choice, AllowedTools, "tool_choice")
            return {tool.name for tool in allowed.tools}
        case other:
            raise UnsupportedParameter(f"tool_choice of type {str(other)[:64]!r} is not supported.", param="tool_choice")
