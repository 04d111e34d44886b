"""The client's tools among Codex's own: which names are allowed, and under which names the model sees them.

Codex refuses, shadows or drops a client's tool with a reserved name (0.147.0 to 0.169.0). For an agent such a name is an error
if it would mean two tools. If only the name is reserved, the model sees the tool under a prefixed name, and a name that is too
long is shortened; calls come back under the client's name. Names stay distinct: one that already has the prefix gets another.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from codex_proxy.codex.tool_schema import understood
from codex_proxy.errors import InvalidRequest
from codex_proxy.turns import Mode, Tool

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,256}", re.ASCII)
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST = 64  # characters; Codex accepts 128, but the API behind it only 64
AGENTS_OWN = frozenset(
    (
        *("exec_command", "write_stdin", "shell", "shell_command", "local_shell", "apply_patch", "view_image", "web_search"),
        *("update_plan", "request_user_input", "tool_search", "get_goal", "create_goal", "update_goal"),
        *("spawn_agent", "send_input", "resume_agent", "wait_agent", "close_agent", "list_mcp_resources", "read_mcp_resource"),
        "list_mcp_resource_templates",
    )
)
_TAKEN = frozenset(  # in pure-model mode too
    (
        *("exec_command", "shell_command", "request_user_input", "apply_patch", "mcp"),
        *("exec", "wait", "list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource"),  # of code mode
        *("request_user_input_async", "send_message_to_user_async"),  # of gpt-6 models, as is the group `clock`
    )
)
_TAKEN_GROUPS = frozenset(
    (
        *("mcp", "functions", "multi_tool_use", "web", "browser", "python", "computer", "container", "file_search"),
        *("clock", "image_gen", "terminal", "api_tool", "tool_search", "submodel_delegator", "python_user_visible"),
    )
)
_TAKEN_PREFIX = "mcp__"
_MARK = "client_"
_DIGEST = 12  # characters that tell shortened names apart
_FREEFORM = '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'


class _Freeform(msgspec.Struct):
    input: str


def check(tools: Iterable[Tool], mode: Mode) -> None:
    """Check the names of the tools. Raises InvalidRequest for one that is invalid, reserved in this mode or used twice."""
    seen: set[tuple[str | None, str]] = set()
    groups: dict[str, str] = {}  # namespace that the model sees -> the client's name for it
    for tool in tools:
        for name in (tool.name, tool.namespace):
            if name is not None and not _NAME.fullmatch(name):
                problem = f"The tool name {name[:140]!r} is not allowed: use 1 to 256 letters, digits, _ and -."
                raise InvalidRequest(problem, param=tool.place)
        if mode == "agent" and tool.namespace is None and tool.name in AGENTS_OWN:
            raise InvalidRequest(
                f"The tool name {tool.name!r} is one of Codex's own tools. Rename it, or use the pure-model mode: "
                "'<model> chat', or x_codex.mode = 'chat'.",
                param=tool.place,
            )
        seen_as = (tool.namespace and group_to_model(tool.namespace), to_model(tool.name))
        if tool.namespace is not None and groups.setdefault(group_to_model(tool.namespace), tool.namespace) != tool.namespace:
            raise InvalidRequest(f"The namespace {tool.namespace!r} appears twice.", param=tool.place)
        if seen_as in seen:
            raise InvalidRequest(f"The tool {tool.name!r} appears twice.", param=tool.place)
        seen.add(seen_as)


def to_model(name: str) -> str:
    """The name under which the model sees one of the client's tools."""
    return _seen(name, _TAKEN)


def group_to_model(name: str) -> str:
    """The name under which the model sees a namespace of the client's tools."""
    return _seen(name, _TAKEN_GROUPS)


def _seen(name: str, taken: frozenset[str]) -> str:
    name = _NOT_IN_A_NAME.sub("_", name)  # for calls in a history that began elsewhere
    bare = name
    while bare.startswith(_MARK):
        bare = bare.removeprefix(_MARK)
    seen = _MARK + name if bare in taken or bare.startswith(_TAKEN_PREFIX) else name
    if len(seen) <= _LONGEST:
        return seen
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{seen[: _LONGEST - _DIGEST - 1]}_{digest}"


def groups(tools: Iterable[Tool]) -> Iterator[str]:
    """The names under which the model sees the namespaces of the tools."""
    return (group_to_model(tool.namespace) for tool in tools if tool.namespace is not None)


def dynamic_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """The value of thread/start.dynamicTools, grouped by namespace."""
    found: list[dict[str, Any]] = []
    namespaces: dict[str, list[dict[str, Any]]] = {}
    for tool in tools:
        schema = msgspec.Raw((_FREEFORM if tool.freeform else understood(tool.parameters)).encode())
        entry = {"type": "function", "name": to_model(tool.name), "description": tool.description, "inputSchema": schema}
        if tool.namespace is None:
            found.append(entry)
        elif tool.namespace in namespaces:
            namespaces[tool.namespace].append(entry)
        else:
            inner = namespaces[tool.namespace] = [entry]
            name = group_to_model(tool.namespace)
            found.append({"type": "namespace", "name": name, "description": f"The tools of {tool.namespace}.", "tools": inner})
    return found


def freeform_argument(arguments: str) -> str:
    """The plain-text argument that the model passed to a freeform tool."""
    try:
        return msgspec.json.decode(arguments, type=_Freeform).input
    except msgspec.DecodeError:
        return arguments


def place_of(refusal: str, tools: Iterable[Tool]) -> str:
    """Where the request has the tool named in a refusal by the CLI; "tools" if it names none."""
    words = set(re.findall(r"[a-zA-Z0-9_-]+", refusal))
    return next((tool.place for tool in tools if words & {to_model(tool.name), group_to_model(tool.namespace or "")}), "tools")
