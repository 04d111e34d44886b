"""What the demo's model says: deterministic text, a client's tool when the prompt names one, a command when asked to."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from codex_proxy.demo.steps import Call, Count, ModelRequest, Say, Step, Think, words

PACE = 0.03  # seconds between words, so that a reader sees them come
_RUN = re.compile(r"\brun:?\s+`?([^`\n]+)`?", re.IGNORECASE)
_SHELL = "exec_command"
_CODEX_TOOLS = frozenset((_SHELL, "write_stdin", "apply_patch", "view_image", "web_search", "update_plan", "request_user_input"))
_COMMAND_SECONDS = 10
_BEFORE_OUTPUT = "\nOutput:\n"  # where Codex puts what the command printed
_QUOTED_AT_MOST = 300


async def script(request: ModelRequest) -> AsyncIterator[Step]:
    """One response of the demo's model."""
    prompt = request.prompt
    said = sum(len(json.dumps(item)) for item in request.input) // 4
    wanted = _RUN.search(prompt)
    tool = next((tool for tool in request.body.get("tools", ()) if _is_asked_for(tool, prompt)), None)
    if request.outputs:
        text = f"This is the codex-proxy demo. It gave: {_quoted(request.outputs[-1].rpartition(_BEFORE_OUTPUT)[2])}"
    elif wanted and _SHELL in request.tool_names:
        yield Think(("**Running the command**",))
        arguments = {"cmd": wanted[1].strip(), "yield_time_ms": _COMMAND_SECONDS * 1000}
        yield Call(_SHELL, json.dumps(arguments), f"call_demo_{len(request.input)}")
        yield Count(input=said, output=20)
        return
    elif tool is not None:
        yield Call(tool["name"], json.dumps(_example(tool.get("parameters", {}))), f"call_demo_{len(request.input)}")
        yield Count(input=said, output=20)
        return
    else:
        text = (
            "This is the codex-proxy demo: the real Codex CLI with a built-in offline model, so nothing here is intelligent. "
            f"You said: {_quoted(prompt)} Ask me to run `uname -a` and Codex will, in its sandbox."
        )
    pieces = words(text)
    yield Say(pieces, PACE)
    yield Count(input=said, output=len(pieces))


def _is_asked_for(tool: dict[str, Any], prompt: str) -> bool:
    name = tool.get("name", "")
    return tool["type"] == "function" and name not in _CODEX_TOOLS and bool(re.search(rf"\b{re.escape(name)}\b", prompt))


def _example(schema: dict[str, Any]) -> Any:
    """A value that fits a JSON schema; the demo knows no better one."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: _example(part) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [_example(schema.get("items", {}))]
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case _:
            return "demo"


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    return f"“{flat[:_QUOTED_AT_MOST]}…”" if len(flat) > _QUOTED_AT_MOST else f"“{flat}”"
