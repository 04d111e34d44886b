"""The two ends meet here, and only here: a Turn goes in, a closed union of TurnEvents comes out.

Nothing in here knows HTTP, a dialect or the Codex protocol. A turn's events end with exactly one TurnEnd. Between the
start and the end of one item its deltas come in order, and add up to its text. Items may overlap.
"""

from typing import Literal

import msgspec

from codex_proxy.errors import ProxyError
from codex_proxy.history import History, Part, Phase, Verbatim

Mode = Literal["agent", "chat"]
Sandbox = Literal["read-only", "workspace-write", "danger-full-access"]
Summary = Literal["auto", "concise", "detailed", "none"]
WebSearch = Literal["live", "configured", "disabled"]  # configured: as Codex's own configuration has it
Keep = Literal["nowhere", "memory", "disk"]  # where a turn's conversation may be kept
Continuation = Literal["live", "resumed", "rebuilt", "new"]  # what became of the conversation that a turn continues


class Trace(msgspec.Struct, frozen=True):
    """Where a conversation stands in Codex after a turn. Only codex/ reads it; others keep it and give it back.

    `content` is what a thread on disk has left, `items` what one that is nowhere but in memory has seen.
    """

    thread: str
    id: str  # of this very end of a turn
    place: str = ""  # of the content, below Codex's home
    content: bytes = b""
    items: tuple[str, ...] = ()  # raw items, as JSON texts
    calls: tuple[str, ...] = ()  # of the client's tools, which have ended it: their outputs come next
    documents: str = ""  # of the project, as the model was last told of them
    service_tier: str | None = None  # that the turn named
    kept_as: tuple[str, ...] = ()  # the names under which the store has it, and the trace before it


class Tool(msgspec.Struct, frozen=True):
    """A function of the client that the model may call."""

    name: str
    description: str
    parameters: str  # a JSON Schema, as JSON text
    namespace: str | None = None  # the name of its group
    freeform: bool = False  # its argument is plain text
    place: str = "tools"  # where the request has it


class Turn(msgspec.Struct, frozen=True):
    """One question to Codex, decided in every respect: nothing in it is a default any more."""

    id: str
    model: str
    effort: str | None  # None: the model's own default
    mode: Mode
    sandbox: Sandbox
    network: bool  # only with workspace-write
    cwd: str  # absolute and real when it was looked at; a command may put a link in its place
    history: tuple[History, ...]
    input: tuple[Part, ...]
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    one_call: bool = False
    output_schema: str | None = None
    checked_schema: str | None = None  # of the answer, which has been asked for it in words
    record: bool = False
    task: str | None = None  # of a chat UI: it runs behind every turn that somebody waits for
    summary: Summary = "auto"
    raw_reasoning: bool = False
    verbosity: str | None = None
    service_tier: str | None = None
    web_search: WebSearch = "disabled"
    root: str = ""  # the workspace around `cwd`, for workspace-write: no command can replace it, so it is what may be written
    note: tuple[History, ...] = ()  # after the history, for this turn alone
    keep: Keep = "nowhere"
    digest: bytes = b""  # of the conversation so far, with its input
    trace: Trace | None = None  # of the conversation that it continues
    covered: int = 0  # leading items of the history that the trace has seen


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one turn, summed over all its model calls. `cached` is part of `input`, `reasoning` of `output`."""

    input: int
    cached: int
    output: int
    reasoning: int
    cache_write: int = 0
    counted: bool = False  # by us, in part: of a model response that is cut off none are reported


class Command(msgspec.Struct, frozen=True, tag="command"):
    """A shell command in the sandbox. `exit_code` None: still running, declined or cut off."""

    command: str
    output: str = ""
    exit_code: int | None = None


class Patch(msgspec.Struct, frozen=True, tag="patch"):
    """Files changed: (path, kind: add, delete or update, unified diff)."""

    changes: tuple[tuple[str, str, str], ...]
    succeeded: bool = True


class McpCall(msgspec.Struct, frozen=True, tag="mcp_call"):
    """A call of a tool of an MCP server. `arguments` and `result` are JSON text."""

    server: str
    tool: str
    arguments: str
    result: str | None = None
    error: str | None = None


class Search(msgspec.Struct, frozen=True, tag="search"):
    """A web search by the provider. `action` is search, open_page or find_in_page; the query may still be unknown."""

    query: str
    action: str = "search"


Work = Command | Patch | McpCall | Search


class Waiting(msgspec.Struct, frozen=True, tag="waiting"):
    """Nothing happens for now: no worker is free, or the provider has failed and Codex asks it again."""

    on: Literal["worker", "provider"]


class TurnStarted(msgspec.Struct, frozen=True, tag="turn_started"):
    """Codex has accepted the turn; from here on a repetition could do work twice."""

    continuation: Continuation = "new"


class MessageStarted(msgspec.Struct, frozen=True, tag="message_started"):
    """The model begins a message. Its phase: commentary, said between its steps; final_answer; None: the model does not tell."""

    item: str
    phase: Phase | None


class MessageDelta(msgspec.Struct, frozen=True, tag="message_delta"):
    """More text of a message: at least a token."""

    item: str
    text: str


class MessageCompleted(msgspec.Struct, frozen=True, tag="message_completed"):
    """The whole text of a message."""

    item: str
    text: str


class ReasoningStarted(msgspec.Struct, frozen=True, tag="reasoning_started"):
    """The model begins to reason."""

    item: str


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning_delta"):
    """More of part `part` of a reasoning item's summary or, where `raw`, of the reasoning itself."""

    item: str
    part: int
    text: str
    raw: bool = False


class ReasoningCompleted(msgspec.Struct, frozen=True, tag="reasoning_completed"):
    """All parts of the summary, and the whole for the provider's eyes where it gave that."""

    item: str
    summary: tuple[str, ...]
    encrypted: str | None = None


class WorkStarted(msgspec.Struct, frozen=True, tag="work_started"):
    """The agent begins something that it does itself."""

    item: str
    work: Work


class WorkProgress(msgspec.Struct, frozen=True, tag="work_progress"):
    """More output of a command, or a word on the progress of a call."""

    item: str
    text: str


class WorkCompleted(msgspec.Struct, frozen=True, tag="work_completed"):
    """The agent has ended it, well or not."""

    item: str
    work: Work


class PlanUpdated(msgspec.Struct, frozen=True, tag="plan_updated"):
    """The agent's plan as it now is: (step, status: pending, in_progress or completed)."""

    steps: tuple[tuple[str, str], ...]


class ToolCalled(msgspec.Struct, frozen=True, tag="tool_called"):
    """The model calls a tool of the client; the turn ends with this model response."""

    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class Recorded(msgspec.Struct, frozen=True, tag="recorded"):
    """What the model said or was given, for the history of a continuation; only in a turn that wants it."""

    item: Verbatim


class TurnCompleted(msgspec.Struct, frozen=True, tag="turn_completed"):
    """The end. `interrupted` when we cut it off; usage None when Codex reported none."""

    usage: Usage | None
    interrupted: bool = False


class TurnFailed(msgspec.Struct, frozen=True, tag="turn_failed"):
    """The end, and why."""

    error: ProxyError
    usage: Usage | None = None


MessageEvent = MessageStarted | MessageDelta | MessageCompleted
ReasoningEvent = ReasoningStarted | ReasoningDelta | ReasoningCompleted
WorkEvent = WorkStarted | WorkProgress | WorkCompleted | PlanUpdated
TurnEnd = TurnCompleted | TurnFailed
AfterWaiting = TurnStarted | MessageEvent | ReasoningEvent | WorkEvent | ToolCalled | Recorded | TurnEnd
TurnEvent = Waiting | AfterWaiting
