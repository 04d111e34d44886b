"""The client's tools among Codex's own: which names can be used, and under which name the model sees them.

Codex refuses, shadows or drops a client's tool whose name it keeps for itself (seen with 0.163.0). For an agent that is
an error, because one name would mean two tools. Where only the name is taken, as in pure-model mode, the tool goes to
the model under a marked name, and comes back under its own.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from codex_proxy.errors import InvalidRequest
from codex_proxy.turns import Mode, Tool

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,120}", re.ASCII)
AGENTS_OWN = frozenset(
    (
        *("exec_command", "write_stdin", "shell", "shell_command", "local_shell", "apply_patch", "view_image", "web_search"),
        *("update_plan", "request_user_input", "tool_search", "get_goal", "create_goal", "update_goal"),
        *("spawn_agent", "send_input", "resume_agent", "wait_agent", "close_agent", "list_mcp_resources", "read_mcp_resource"),
    )
)
_TAKEN = frozenset(("exec_command", "request_user_input"))  # in pure-model mode too
_TAKEN_PREFIX = "mcp__"
_MARK = "client_"
_FREEFORM = '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'


class _Freeform(msgspec.Struct):
    input: str


def check(tools: Iterable[Tool], mode: Mode) -> None:
    """Raises InvalidRequest for a name that Codex would not let the model see."""
    seen: set[tuple[str | None, str]] = set()
    groups: dict[str, str] = {}  # what the model sees -> what the client calls it
    for tool in tools:
        for name in (tool.name, tool.namespace):
            if name is not None and not _NAME.fullmatch(name):
                problem = f"The tool name {name[:140]!r} is not 1 to 120 letters, digits, _ and -."
                raise InvalidRequest(problem, param=tool.place)
        if mode == "agent" and tool.namespace is None and tool.name in AGENTS_OWN:
            raise InvalidRequest(
                f"The tool name {tool.name!r} is one of Codex's own tools. Rename it, or use the pure-model mode: "
                "'<model> chat', or x_codex.mode = 'chat'.",
                param=tool.place,
            )
        seen_as = (tool.namespace and to_model(tool.namespace), to_model(tool.name))
        if tool.namespace is not None and groups.setdefault(to_model(tool.namespace), tool.namespace) != tool.namespace:
            raise InvalidRequest(f"The namespace {tool.namespace!r} is given twice.", param=tool.place)
        if seen_as in seen:
            raise InvalidRequest(f"The tool {tool.name!r} is given twice.", param=tool.place)
        seen.add(seen_as)


def to_model(name: str) -> str:
    """The name under which the model sees a tool of the client."""
    return _MARK + name if name in _TAKEN or name.startswith(_TAKEN_PREFIX) else name


def dynamic_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """The tools as thread/start.dynamicTools takes them, namespaces gathered."""
    found: list[dict[str, Any]] = []
    namespaces: dict[str, list[dict[str, Any]]] = {}
    for tool in tools:
        schema = msgspec.Raw((_FREEFORM if tool.freeform else tool.parameters).encode())
        entry = {"type": "function", "name": to_model(tool.name), "description": tool.description, "inputSchema": schema}
        if tool.namespace is None:
            found.append(entry)
        elif tool.namespace in namespaces:
            namespaces[tool.namespace].append(entry)
        else:
            inner = namespaces[tool.namespace] = [entry]
            name = to_model(tool.namespace)
            found.append({"type": "namespace", "name": name, "description": f"The tools of {tool.namespace}.", "tools": inner})
    return found


def freeform_argument(arguments: str) -> str:
    """What the model wrote as the argument of a freeform tool."""
    try:
        return msgspec.json.decode(arguments, type=_Freeform).input
    except msgspec.DecodeError:
        return arguments
