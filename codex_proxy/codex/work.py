"""What the agent does besides writing, as the CLI tells of it: commands, patches, calls of MCP servers, searches."""

import shlex

import msgspec

from codex_proxy.codex import wire
from codex_proxy.turns import Command, McpCall, Patch, Search, Work

TYPES = frozenset(("commandExecution", "fileChange", "mcpToolCall"))  # of items that can be under way when a turn is interrupted
_SEARCH_ACTIONS = {"openPage": "open_page", "findInPage": "find_in_page"}


def of(item: wire.Item) -> Work | None:
    """The work that an item tells of, None for other items."""
    match item.type:
        case "commandExecution":
            return Command(_typed(item.command), item.aggregated_output or "", item.exit_code)
        case "fileChange":
            changes = tuple((change.path, str(change.kind.get("type", "update")), change.diff) for change in item.changes)
            return Patch(changes, item.status in ("inProgress", "completed"))
        case "mcpToolCall":
            result = None if item.result is None else msgspec.json.encode(item.result).decode()
            failed = "The tool reported an error." if item.status == "failed" else None
            error = item.error.message if item.error else failed
            return McpCall(item.server, item.tool, bytes(item.arguments).decode(), result, error)
        case "webSearch":
            action = str((item.action or {}).get("type", "search"))
            return Search(item.query, _SEARCH_ACTIONS.get(action, "search"))
        case _:
            return None


def _typed(command: str) -> str:
    """The command as the model wrote it, without the shell that the CLI reports with it, as in /bin/bash -lc 'echo hi'."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return words[2] if len(words) == 3 and words[1] in ("-lc", "-c") else command
