"""How a scripted model runs a command: with the tool that its request has for that, which in code mode is a script."""

import json

from codex_proxy.demo.steps import Call, ModelRequest, Raw, Step

_SHELLS, _SCRIPTS = ("exec_command", "shell_command"), "exec"  # tools
_TELL = "text(`Process exited with code ${run.exit_code}\\nOutput:\\n${run.output}`);"  # as exec_command tells of it
_SECONDS = 10  # until Codex gives the model what the command has printed so far


def tool(request: ModelRequest) -> str | None:
    """The tool that runs commands; for a model in code mode, that for scripts if they can call it. None in chat mode."""
    if (name := next((name for name in _SHELLS if name in request.tool_names), None)) is not None:
        return name
    return _SCRIPTS if f"tools: {{ {_SHELLS[0]}(" in str(request.tools) and _SCRIPTS in request.tool_names else None


def run(command: str, request: ModelRequest, call_id: str = "", **arguments: object) -> Step:
    """A call that runs the command; `arguments` are further ones of exec_command. In chat mode Codex refuses it."""
    name, call_id = tool(request) or "exec_command", call_id or f"call_{len(request.input)}"
    if name == "shell_command":
        return Call(name, json.dumps({"command": command}), call_id)
    text = json.dumps({"cmd": command, "yield_time_ms": _SECONDS * 1000} | arguments)
    if name == "exec_command":
        return Call(name, text, call_id)
    return script(f"const run = await tools.exec_command({text}); {_TELL}", call_id)


def script(text: str, call_id: str) -> Step:
    """A script of a model in code mode."""
    return Raw({"type": "custom_tool_call", "id": f"ctc_{call_id}", "call_id": call_id, "name": _SCRIPTS, "input": text})
