"""The types between the API and Codex: a Turn goes in, and a stream of TurnEvents, a closed union, comes out.

Nothing here knows HTTP, a dialect or the Codex protocol. A turn's events end with exactly one TurnEnd. The deltas between the
start and the end of an item arrive in order and add up to its text. Items may overlap.
"""

from typing import Literal

import msgspec

from codex_proxy.errors import ProxyError
from codex_proxy.history import History, Part, Phase, Verbatim

Mode = Literal["agent", "chat"]
Sandbox = Literal["read-only", "workspace-write", "danger-full-access"]
Summary = Literal["auto", "concise", "detailed", "none"]
WebSearch = Literal["live", "configured", "disabled"]  # configured: as Codex's own configuration says
Keep = Literal["nowhere", "memory", "disk"]  # where a turn's conversation may be kept
Continuation = Literal["live", "resumed", "rebuilt", "new"]  # how the conversation of a turn is continued


class Trace(msgspec.Struct, frozen=True):
    """The state of a conversation in Codex after a turn. Only codex/ reads it; others just store it and pass it back.

    `content` is the rollout of a thread on disk, `items` what a thread kept only in memory has seen.
    """

    thread: str
    id: str  # unique to this state
    place: str = ""  # the rollout's path, relative to Codex's home
    content: bytes = b""
    items: tuple[str, ...] = ()  # raw items, as JSON texts
    calls: tuple[str, ...] = ()  # ids of the calls to the client's tools that ended the turn: their outputs come next
    documents: str = ""  # the project's documents, as last given to the model
    service_tier: str | None = None  # from the turn's request
    added: tuple[str, ...] = ()  # digests of the messages that are not the client's: see codex/notes.py
    notes: tuple[str, ...] = ()  # of those that were for one turn only
    kept_as: tuple[str, ...] = ()  # the store's names for it and for the trace before it


class Tool(msgspec.Struct, frozen=True):
    """One of the client's tools, which the model may call."""

    name: str
    description: str
    parameters: str  # a JSON Schema, as JSON text
    namespace: str | None = None
    freeform: bool = False  # the argument is plain text
    place: str = "tools"  # the path of the tool in the request, for errors


class Turn(msgspec.Struct, frozen=True):
    """One request to Codex, with every default resolved."""

    id: str
    model: str
    effort: str | None  # None: the model's default
    mode: Mode
    sandbox: Sandbox
    network: bool  # only with workspace-write
    cwd: str  # absolute and real when it was checked; a command may since have replaced it with a link
    history: tuple[History, ...]
    input: tuple[Part, ...]
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    one_call: bool = False
    output_schema: str | None = None
    checked_schema: str | None = None  # the answer is checked against it; the model is only told of it in the prompt
    record: bool = False
    task: str | None = None  # a chat UI's background task, which yields to every turn that a user waits for
    summary: Summary = "auto"
    raw_reasoning: bool = False
    verbosity: str | None = None
    service_tier: str | None = None
    web_search: WebSearch = "disabled"
    root: str = ""  # the workspace around `cwd`, writable with workspace-write: commands cannot replace it by a link
    note: tuple[History, ...] = ()  # appended to the history for this turn only
    keep: Keep = "nowhere"
    digest: bytes = b""  # of the conversation including this input
    trace: Trace | None = None  # of the conversation that the turn continues
    covered: int = 0  # number of leading history items that the trace has seen


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one turn, summed over its model responses. `cached` is part of `input`, `reasoning` part of `output`."""

    input: int
    cached: int
    output: int
    reasoning: int
    cache_write: int = 0
    counted: bool = False  # partly counted by us, because none are reported for a model response that was cut off


class Command(msgspec.Struct, frozen=True, tag="command"):
    """A shell command run by the agent. `exit_code` None means still running, declined or cut off."""

    command: str
    output: str = ""
    exit_code: int | None = None


class Patch(msgspec.Struct, frozen=True, tag="patch"):
    """Changes to files: (path, kind, unified diff), where kind is add, delete or update."""

    changes: tuple[tuple[str, str, str], ...]
    succeeded: bool = True


class McpCall(msgspec.Struct, frozen=True, tag="mcp_call"):
    """A call to a tool of an MCP server. `arguments` and `result` are JSON text."""

    server: str
    tool: str
    arguments: str
    result: str | None = None
    error: str | None = None


class Search(msgspec.Struct, frozen=True, tag="search"):
    """A web search by the provider. `action` is search, open_page or find_in_page; `query` may still be unknown."""

    query: str
    action: str = "search"


Work = Command | Patch | McpCall | Search


class Waiting(msgspec.Struct, frozen=True, tag="waiting"):
    """The turn is waiting: no worker is free, or the provider has failed and Codex is asking it again."""

    on: Literal["worker", "provider"]


class TurnStarted(msgspec.Struct, frozen=True, tag="turn_started"):
    """Codex has accepted the turn. From now on, running it again could repeat work."""

    continuation: Continuation = "new"


class MessageStarted(msgspec.Struct, frozen=True, tag="message_started"):
    """The model begins a message. `phase` is commentary (between steps), final_answer, or None if the model does not say."""

    item: str
    phase: Phase | None


class MessageDelta(msgspec.Struct, frozen=True, tag="message_delta"):
    """More text of a message: at least one token."""

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
    """All parts of the summary, and the whole reasoning encrypted by the provider, if it sent that."""

    item: str
    summary: tuple[str, ...]
    encrypted: str | None = None


class WorkStarted(msgspec.Struct, frozen=True, tag="work_started"):
    """The agent begins a piece of work of its own."""

    item: str
    work: Work


class WorkProgress(msgspec.Struct, frozen=True, tag="work_progress"):
    """More output of a command, or a progress message of an MCP call."""

    item: str
    text: str


class WorkCompleted(msgspec.Struct, frozen=True, tag="work_completed"):
    """The piece of work has ended, successfully or not."""

    item: str
    work: Work


class PlanUpdated(msgspec.Struct, frozen=True, tag="plan_updated"):
    """The agent's current plan: (step, status), where status is pending, in_progress or completed."""

    steps: tuple[tuple[str, str], ...]


class ToolCalled(msgspec.Struct, frozen=True, tag="tool_called"):
    """The model calls one of the client's tools; the turn ends with this model response."""

    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class Recorded(msgspec.Struct, frozen=True, tag="recorded"):
    """An item that the model wrote or was given, for the history of a continuation; only in turns with `record`."""

    item: Verbatim


class TurnCompleted(msgspec.Struct, frozen=True, tag="turn_completed"):
    """The turn has ended. `interrupted`: we cut it off; `usage` None: Codex reported none."""

    usage: Usage | None
    interrupted: bool = False


class TurnFailed(msgspec.Struct, frozen=True, tag="turn_failed"):
    """The turn has failed."""

    error: ProxyError
    usage: Usage | None = None


MessageEvent = MessageStarted | MessageDelta | MessageCompleted
ReasoningEvent = ReasoningStarted | ReasoningDelta | ReasoningCompleted
WorkEvent = WorkStarted | WorkProgress | WorkCompleted | PlanUpdated
TurnEnd = TurnCompleted | TurnFailed
AfterWaiting = TurnStarted | MessageEvent | ReasoningEvent | WorkEvent | ToolCalled | Recorded | TurnEnd
TurnEvent = Waiting | AfterWaiting
