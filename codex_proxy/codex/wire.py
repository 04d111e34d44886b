"""Structs for the messages of the app-server protocol that we use. Verified with CLI 0.147.0 to 0.171.0.

The protocol is JSON-RPC 2.0 without the `jsonrpc` member, one JSON text per line in both directions. Only the members that we
read are declared; unknown members, methods and item types are ignored.
"""

from typing import Any, TypeVar

import msgspec

from codex_proxy.errors import WorkerFailed

_T = TypeVar("_T")

PRIVATE = "internal_chat_message_metadata_passthrough"  # Codex's own member of a raw item
TOOLS = "additional_tools"  # a raw item in which Codex gives some models its tools; in the rollout too since 0.169.0
COMPACTION = "contextCompaction"  # an item that is under way while Codex has the model sum up the conversation


def decode(raw: msgspec.Raw, type_: type[_T]) -> _T:
    """Decode params or a result. Raises WorkerFailed when it has an unknown form."""
    try:
        return msgspec.json.decode(raw, type=type_)
    except msgspec.MsgspecError as error:
        raise WorkerFailed("The Codex CLI sent an unknown form.", detail=f"{type_.__name__}: {error}") from error


class Line(msgspec.Struct, frozen=True):
    """Any line from the CLI: a request (id and method), a notification (method) or an answer (id)."""

    id: int | str | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: "RpcError | None" = None


class RpcError(msgspec.Struct, frozen=True):
    """Why a request was refused. -32602 with data.input_error_code input_too_large means over 1,048,576 characters."""

    code: int
    message: str


class Addressed(msgspec.Struct, frozen=True, rename="camel"):
    """The thread and turn of a notification; absent in process-wide ones. Injected history has its own turn id."""

    thread_id: str | None = None
    turn_id: str | None = None


class Thread(msgspec.Struct, frozen=True):
    """A thread. `path` is that of its rollout; None for an ephemeral thread."""

    id: str
    path: str | None = None


class ThreadStarted(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to thread/start and thread/resume."""

    thread: Thread
    model_provider: str
    active_permission_profile: "PermissionProfile | None" = None


class PermissionProfile(msgspec.Struct, frozen=True):
    id: str


class TurnError(msgspec.Struct, frozen=True, rename="camel"):
    """Why a turn failed. `codex_error_info` is a word, or an object with one word as the key and details as the value."""

    message: str
    codex_error_info: str | dict[str, Any] | None = None  # Any: the details differ by word and version


class ErrorNews(msgspec.Struct, frozen=True, rename="camel"):
    """The notification error. With will_retry the turn goes on: the CLI asks the model again."""

    will_retry: bool = False


class LimitWindow(msgspec.Struct, frozen=True, rename="camel"):
    """A window of one of the account's limits. `resets_at` is in seconds since the epoch."""

    used_percent: float
    window_duration_mins: int | None = None
    resets_at: int | None = None


class Limits(msgspec.Struct, frozen=True, rename="camel"):
    """One of the account's limits, with one or two windows."""

    limit_id: str | None = None
    limit_name: str | None = None
    primary: LimitWindow | None = None
    secondary: LimitWindow | None = None


class LimitsNews(msgspec.Struct, frozen=True, rename="camel"):
    """account/rateLimits/updated, and the answer to account/rateLimits/read. Only the answer has all limits by id."""

    rate_limits: Limits
    rate_limits_by_limit_id: dict[str, Limits] | None = None


class TurnState(msgspec.Struct, frozen=True):
    """The state of a turn. `status` is inProgress, completed, interrupted or failed."""

    id: str
    status: str
    error: TurnError | None = None


class TurnNews(msgspec.Struct, frozen=True):
    """The answer to turn/start, and turn/completed."""

    turn: TurnState


class Delta(msgspec.Struct, frozen=True, rename="camel"):
    """item/agentMessage/delta, item/reasoning/*Delta, item/commandExecution/outputDelta."""

    item_id: str
    delta: str
    summary_index: int = 0
    content_index: int = 0


class McpProgress(msgspec.Struct, frozen=True, rename="camel"):
    """item/mcpToolCall/progress."""

    item_id: str
    message: str


class Tokens(msgspec.Struct, frozen=True, rename="camel"):
    """Token counts: the totals of a thread, or those of one model response."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    cache_write_input_tokens: int = 0

    def since(self, before: "Tokens") -> "Tokens":
        return Tokens(*(getattr(self, name) - getattr(before, name) for name in self.__struct_fields__))

    def plus(self, more: "Tokens") -> "Tokens":
        return Tokens(*(getattr(self, name) + getattr(more, name) for name in self.__struct_fields__))


class ResponseNews(msgspec.Struct, frozen=True):
    """rawResponse/completed. `usage` is that of one model response; None when the provider reported none."""

    usage: Tokens | None = None


class TokenTotals(msgspec.Struct, frozen=True):
    total: Tokens


class TokenNews(msgspec.Struct, frozen=True, rename="camel"):
    """thread/tokenUsage/updated."""

    token_usage: TokenTotals


class PlanStep(msgspec.Struct, frozen=True):
    step: str
    status: str


class PlanNews(msgspec.Struct, frozen=True):
    """turn/plan/updated."""

    plan: tuple[PlanStep, ...]


class Change(msgspec.Struct, frozen=True):
    path: str
    kind: dict[str, Any]  # Any: {"type": add | delete | update, …}
    diff: str = ""


class Item(msgspec.Struct, frozen=True, rename="camel"):
    """The item of item/started and item/completed, with the members of all types that we know."""

    type: str
    id: str
    text: str = ""  # agentMessage
    phase: str | None = None
    delivery: str | None = None  # "async" for one that is not the final answer, though its phase says so (0.163.0 to 0.171.0)
    summary: tuple[str, ...] = ()  # reasoning
    command: str = ""  # commandExecution
    aggregated_output: str | None = None
    exit_code: int | None = None
    changes: tuple[Change, ...] = ()  # fileChange
    server: str = ""  # mcpToolCall
    tool: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"null")
    result: Any = None  # Any: the MCP server's own format; a string on imageGeneration
    error: "ItemError | None" = None
    status: str = ""
    query: str = ""  # webSearch
    action: dict[str, Any] | None = None  # Any: {"type": search | openPage | findInPage | other, …}


class ItemError(msgspec.Struct, frozen=True):
    message: str


class ItemNews(msgspec.Struct, frozen=True):
    """item/started, item/completed."""

    item: Item


class RawItem(msgspec.Struct, frozen=True):
    """An item as the model wrote it or was given it: the members that we read."""

    type: str
    name: str = ""
    id: str | None = None
    role: str = ""
    call_id: str = ""
    namespace: str | None = None
    arguments: str = ""
    summary: tuple["SummaryText", ...] = ()
    encrypted_content: str | None = None
    output: Any = None  # Any: a string, or a list of parts

    @property
    def group(self) -> str | None:
        """The namespace of a call, if it has one: some models see all tools without in one of this name."""
        return None if self.namespace == "functions" else self.namespace

    @property
    def output_texts(self) -> list[str]:
        """The texts of the output's parts, "" for a part without one."""
        if isinstance(self.output, list):
            return [str(part.get("text", "")) if isinstance(part, dict) else "" for part in self.output]
        return [self.output] if isinstance(self.output, str) else []


class SummaryText(msgspec.Struct, frozen=True):
    text: str = ""


class RawItemNews(msgspec.Struct, frozen=True):
    """rawResponseItem/completed."""

    item: RawItem


class ItemKind(msgspec.Struct, frozen=True):
    type: str
    role: str = ""
    id: str | None = None
    call_id: str = ""  # of a raw item


class ItemKindNews(msgspec.Struct, frozen=True):
    """item/completed, rawResponseItem/completed: only the kind and the ids of the item."""

    item: ItemKind


class ToolCallNews(msgspec.Struct, frozen=True, rename="camel"):
    """item/tool/call: only the id of the call."""

    call_id: str


class WholeItemNews(msgspec.Struct, frozen=True):
    """rawResponseItem/completed: the whole item."""

    item: dict[str, Any]  # Any: the provider's own format


class ShellArguments(msgspec.Struct, frozen=True):
    """The arguments of a call to exec_command."""

    cmd: str


class CommandRun(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to command/exec: the result of a command."""

    exit_code: int
    stdout: str
    stderr: str
