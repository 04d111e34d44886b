"""The settings a thread starts with, and the params of thread/start, thread/resume and turn/start.

The settings withstood every probe in a hostile repository (CLI 0.147.0 to 0.171.0). They never include a `sandbox` field: any
value of it replaces the permission profile, and values that allow writing trust the directory and run its MCP servers.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any, assert_never

import msgspec

from codex_proxy.codex import tools
from codex_proxy.codex.view import View
from codex_proxy.history import Answered, Called, History, Image, Message, Part, Reasoned, Role, Text, Verbatim
from codex_proxy.turns import Mode, Tool, Turn, WebSearch
from codex_proxy.whole_file import Version

_CHAT_INSTRUCTIONS = "You are a helpful assistant."
PROFILE = "proxy"
# Otherwise scripts of the model call the client's tools, and wait for the output in the middle of the turn. The key is one word: a
# table would replace all features of the command line (0.147.0 to 0.171.0).
_CALLED_DIRECTLY = "features.code_mode.direct_only_tool_namespaces"
_LONGEST_CALL_ID = 64  # characters, the limit of the API
_DIGEST = 32  # characters

_OFF = {"enabled": False}
_NO_SKILLS = {"include_instructions": False}  # the CLI reads a project's skills outside the sandbox; see surroundings.py
# Pure-model mode: without an environment no command can run, and the model is told nothing about the agent.
_CHAT_CONFIG: dict[str, Any] = {
    "tools": {"view_image": False, "experimental_request_user_input": _OFF, "update_plan": _OFF},
    "orchestrator": {"skills": _OFF, "mcp": _OFF},  # otherwise 0.147.0 has tools for skills
    "include_apply_patch_tool": False,
    "include_permissions_instructions": False,
    "include_environment_context": False,
    "skills": _NO_SKILLS,
    "project_doc_max_bytes": 0,
}


class Recipe(msgspec.Struct, frozen=True):
    """Settings that are fixed when a thread starts. A thread started in advance serves exactly the turns with an equal recipe."""

    model: str
    mode: Mode
    cwd: str
    view: View  # what commands see of the disk
    user_documents: tuple[Version | None, ...]  # from `documents.user_versions`
    web_search: WebSearch
    verbosity: str | None
    raw_reasoning: bool
    tools: tuple[Tool, ...]
    mcp_servers: tuple[str, ...]  # names from the user's configuration, switched off in chat mode
    in_code_mode: bool = False  # whether the CLI may put the tools out of the model's direct reach
    on_disk: bool = False  # keep a rollout, so that the thread can be resumed

    def start_params(self) -> dict[str, Any]:
        """The params of thread/start."""
        params: dict[str, Any] = {
            "ephemeral": not self.on_disk,
            "approvalPolicy": "never",
            "cwd": self.cwd,
            "model": self.model,
            "experimentalRawEvents": True,
            "config": self._config(),
        }
        if self.tools:
            params["dynamicTools"] = tools.dynamic_tools(self.tools)
        if self.mode == "chat":
            params |= {"environments": [], "baseInstructions": _CHAT_INSTRUCTIONS}
        return params

    def resume_params(self, thread_id: str, path: Path) -> dict[str, Any]:
        """The params of thread/resume. The tools and instructions are in the rollout."""
        resumed = {"threadId": thread_id, "path": str(path), "excludeTurns": True, "approvalPolicy": "never"}
        return resumed | {"cwd": self.cwd, "model": self.model, "config": self._config()}

    def _config(self) -> dict[str, Any]:
        config = self._chat_config() if self.mode == "chat" else self._agent_config()
        if self.verbosity is not None:
            config["model_verbosity"] = self.verbosity
        if self.raw_reasoning:
            config["show_raw_agent_reasoning"] = True
        if self.tools and self.in_code_mode:
            config[_CALLED_DIRECTLY] = ["functions", *dict.fromkeys(tools.groups(self.tools))]
        config["projects"] = _untrusted(self.cwd)
        return config

    def _agent_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "default_permissions": PROFILE,
            "permissions": {PROFILE: self.view.profile},
            "shell_environment_policy": {"inherit": "core"},
            "project_doc_max_bytes": 0,  # documents.py reads them
            "skills": _NO_SKILLS,
        }
        if self.web_search != "configured":
            config["web_search"] = self.web_search
        return config

    def _chat_config(self) -> dict[str, Any]:
        config = _CHAT_CONFIG | {"web_search": self.web_search}
        if self.mcp_servers:  # tables are merged, so each one is switched off by name
            config["mcp_servers"] = {name: {"enabled": False} for name in self.mcp_servers}
        return config


def _untrusted(cwd: str) -> dict[str, Any]:
    """Mark `cwd` untrusted, or Codex would run MCP servers configured in a directory that the user trusts or commands can write.

    Its parent directories are marked too, because their configuration counts up to the git root (0.147.0).
    """
    return {str(place): {"trust_level": "untrusted"} for place in (PurePath(cwd), *PurePath(cwd).parents)}


def turn_params(thread_id: str, turn: Turn, tier_before: str | None = None) -> dict[str, Any]:
    """The params of turn/start.

    The sandboxPolicy is set only in danger mode: any other would make the cwd writable, whatever it may have become by now.
    """
    params: dict[str, Any] = {"threadId": thread_id, "input": [_input_part(part) for part in turn.input], "summary": turn.summary}
    if turn.output_schema is not None:
        params["outputSchema"] = msgspec.Raw(turn.output_schema.encode())
    if turn.effort is not None:
        params["effort"] = turn.effort
    if (turn.service_tier or tier_before) is not None:  # Codex keeps the tier until told otherwise
        params["serviceTier"] = turn.service_tier
    if turn.mode == "chat":
        params["environments"] = []  # a resumed thread does not remember that it has none
    if turn.mode == "agent" and turn.sandbox == "danger-full-access":
        params["sandboxPolicy"] = {"type": "dangerFullAccess"}
    return params


def history_items(history: Iterable[History], issued: Iterable[str] = ()) -> list[dict[str, Any]]:
    """History as the raw Responses API items of thread/inject_items.

    `issued` are ids of calls that came from the provider, which therefore accepts them. Any other id that is too long is replaced
    by a digest, the same for the call and its output.
    """
    known = set(issued)
    items = []
    for item in history:
        items.append(found := _history_item(item))
        call_id = found.get("call_id", "")
        if isinstance(item, Verbatim):
            known.add(call_id)
        elif len(call_id) > _LONGEST_CALL_ID and call_id not in known:
            found["call_id"] = f"call_{hashlib.sha256(call_id.encode()).hexdigest()[:_DIGEST]}"
    return items


def _history_item(item: History) -> dict[str, Any]:
    match item:
        case Message():
            phase = {"phase": item.phase} if item.phase else {}
            content = [_item_part(part, item.role) for part in item.parts]
            return {"type": "message", "role": item.role, "content": content} | phase
        case Called():
            called = {"type": "function_call", "call_id": item.call_id, "name": tools.to_model(item.name)}
            group = {"namespace": tools.group_to_model(item.namespace)} if item.namespace else {}
            return called | group | {"arguments": item.arguments}
        case Answered():
            texts = [part.text for part in item.parts if isinstance(part, Text)]
            plain = len(texts) == len(item.parts) <= 1
            output = "".join(texts) if plain else [_item_part(part, "user") for part in item.parts]
            return {"type": "function_call_output", "call_id": item.call_id, "output": output}
        case Reasoned():
            summary = [{"type": "summary_text", "text": text} for text in item.summary]
            named = {"id": item.item} if item.item else {}
            return {"type": "reasoning", **named, "summary": summary, "encrypted_content": item.encrypted}
        case Verbatim():
            found: dict[str, Any] = msgspec.json.decode(item.item)
            return found
        case _:
            assert_never(item)


def _input_part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            return {"type": "image", "url": part.url} | ({"detail": part.detail} if part.detail else {})
        case _:
            assert_never(part)


def _item_part(part: Part, role: Role) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "output_text" if role == "assistant" else "input_text", "text": part.text}
        case Image():
            return {"type": "input_image", "image_url": part.url} | ({"detail": part.detail} if part.detail else {})
        case _:
            assert_never(part)
