"""The tools of a Responses request. OpenAI API reference, "Create a model response", tools and tool_choice.

Served: functions, custom tools (their text travels as a function's single argument), namespaces of both, web_search. Tools that
Codex as a client sends but can do without are ignored, and reported as ignored; anything else is refused by name.
"""

from typing import Any, Literal

import msgspec

from codex_proxy.dialects import body, bounds, freeform
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.turns import Tool

_WEB_SEARCH = "web_search"  # and its dated and preview names, which begin with it
_DONE_WITHOUT = ("tool_search", "image_generation")
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


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
    """The tools on offer. `ignored` names those without effect, for the header."""

    tools: tuple[Tool, ...]
    web_search: bool
    ignored: tuple[str, ...] = ()


class Choice(msgspec.Struct, frozen=True):
    """The decoded tool_choice. `names` are the tools that the model may use; None for all."""

    names: frozenset[str] | None = None
    web_search: bool = True  # may be called, if offered
    required: bool = False


class Chosen(msgspec.Struct, frozen=True):
    """The tools for the model, and whether it must call one."""

    tools: tuple[Tool, ...]
    web_search: bool
    must_call: bool = False
    must_search: bool = False


class Named(msgspec.Struct, frozen=True):
    name: str


class AllowedTool(msgspec.Struct, frozen=True):
    name: str | None = None
    type: str = "function"


class AllowedTools(msgspec.Struct, frozen=True):
    mode: Literal["auto", "required"]
    tools: list[AllowedTool]


def gathered(given: list[dict[str, Any]], where: str) -> Offered:
    """Decode the list of tools at `where`. Raises InvalidRequest or UnsupportedParameter, naming the place."""
    tools: list[Tool] = []
    ignored: list[str] = []
    web_search = False
    passed = bounds.PassedOn(where)
    for index, tool in enumerate(given):
        place = f"{where}[{index}]"
        type_ = tool.get("type")
        if isinstance(type_, str) and type_.startswith(_WEB_SEARCH):
            web_search = True
        elif type_ in _DONE_WITHOUT:
            ignored += [name for name in (f"tools.{type_}",) if name not in ignored]  # at most two
        elif type_ == "namespace":
            group = body.convert(tool, Namespace, place)
            check_number(len(tools) + len(group.tools), place)
            tools += [_tool(inner, f"{place}.tools[{n}]", group.name, passed) for n, inner in enumerate(group.tools)]
        else:
            tools.append(_tool(tool, place, None, passed))
    return Offered(tuple(tools), web_search, tuple(ignored))


def check_number(number: int, place: str) -> None:
    """Raise InvalidRequest for more tools than a request may have, including those in namespaces and items."""
    bounds.at_most(bounds.ALL_TOOLS, number, "tools", place)


def chosen(offered: Offered, choice: Choice) -> Chosen:
    """Apply the choice to the offered tools. Raises InvalidRequest if a required tool is not offered."""
    names = choice.names
    tools = tuple(tool for tool in offered.tools if names is None or tool.name in names or tool.namespace in names)
    web_search = offered.web_search and choice.web_search
    if choice.required and not tools and not web_search:
        problem = "tool_choice is 'required', but there are no tools." if names is None else "tool_choice names no tool of 'tools'."
        raise InvalidRequest(problem, param="tool_choice")
    return Chosen(tools, web_search, choice.required and bool(tools), choice.required and not tools)


def _tool(tool: dict[str, Any], place: str, namespace: str | None, passed: bounds.PassedOn) -> Tool:
    match tool.get("type"):
        case "function":
            function = body.convert(tool, Function, place)
            parameters = passed.text_of(function.parameters or _NO_PARAMETERS, f"{place}.parameters")
            return Tool(function.name, passed.text(function.description or ""), parameters, namespace, place=place)
        case "custom":
            custom = body.convert(tool, Custom, place)
            return Tool(
                custom.name, passed.text(custom.description or "") + freeform.NOTE, "{}", namespace, freeform=True, place=place
            )
        case str(other):
            raise UnsupportedParameter(f"Tools of type {other[:64]!r} are not supported.", param=f"{place}.type")
        case _:
            raise InvalidRequest(f"Missing required parameter: '{place}.type'.", param=f"{place}.type")


def decode_choice(choice: str | dict[str, Any] | None) -> Choice:
    """Decode tool_choice. Raises InvalidRequest or UnsupportedParameter."""
    if not isinstance(choice, dict):
        return Choice(frozenset(), web_search=False) if choice == "none" else Choice(required=choice == "required")
    match choice.get("type"):
        case "function" | "custom":
            name = body.convert(choice, Named, "tool_choice").name
            return Choice(frozenset((name,)), required=True)
        case str(type_) if type_.startswith(_WEB_SEARCH):
            return Choice(frozenset(), required=True)
        case "allowed_tools":
            allowed = body.convert(choice, AllowedTools, "tool_choice")
            web_search = any(tool.type.startswith(_WEB_SEARCH) for tool in allowed.tools)
            names = frozenset(tool.name for tool in allowed.tools if tool.name is not None)
            return Choice(names, web_search, allowed.mode == "required")
        case other:
            raise UnsupportedParameter(f"tool_choice of type {str(other)[:64]!r} is not supported.", param="tool_choice")
