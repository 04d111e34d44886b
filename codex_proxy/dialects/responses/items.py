"""The output items of the Responses API that we send. OpenAI API reference, "The response object", output; Open Responses.

The agent's own work is an mcp_call of the server "codex": in the API, that marks a tool call that has already run.
"""

from typing import Literal

import msgspec

ItemStatus = Literal["in_progress", "completed", "incomplete"]
CallStatus = Literal["in_progress", "completed", "incomplete", "failed"]
SERVER_LABEL = "codex"


class OutputText(msgspec.Struct, frozen=True, tag_field="type", tag="output_text"):
    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[()] = ()


class SummaryText(msgspec.Struct, frozen=True, tag_field="type", tag="summary_text"):
    text: str


class ReasoningText(msgspec.Struct, frozen=True, tag_field="type", tag="reasoning_text"):
    text: str


class OutputMessage(msgspec.Struct, frozen=True, tag_field="type", tag="message"):
    id: str
    status: ItemStatus
    content: tuple[OutputText, ...]
    role: Literal["assistant"] = "assistant"
    phase: Literal["commentary", "final_answer"] | msgspec.UnsetType = msgspec.UNSET


class ReasoningItem(msgspec.Struct, frozen=True, tag_field="type", tag="reasoning"):
    """Reasoning. `encrypted_content` is present when it was requested and the model provides it."""

    id: str
    summary: tuple[SummaryText, ...] = ()
    content: tuple[ReasoningText, ...] | msgspec.UnsetType = msgspec.UNSET
    encrypted_content: str | msgspec.UnsetType = msgspec.UNSET


class FunctionCallItem(msgspec.Struct, frozen=True, tag_field="type", tag="function_call"):
    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus
    namespace: str | msgspec.UnsetType = msgspec.UNSET


class CustomToolCallItem(msgspec.Struct, frozen=True, tag_field="type", tag="custom_tool_call"):
    id: str
    call_id: str
    name: str
    input: str
    status: ItemStatus
    namespace: str | msgspec.UnsetType = msgspec.UNSET


class ErrorText(msgspec.Struct, frozen=True):
    text: str
    type: Literal["text"] = "text"


class ToolExecutionError(msgspec.Struct, frozen=True, tag_field="type", tag="mcp_tool_execution_error"):
    content: tuple[ErrorText, ...]


class McpCallItem(msgspec.Struct, frozen=True, tag_field="type", tag="mcp_call"):
    id: str
    name: str
    arguments: str
    status: CallStatus
    output: str | None = None
    error: ToolExecutionError | None = None
    server_label: str = SERVER_LABEL
    approval_request_id: None = None


class SearchAction(msgspec.Struct, frozen=True, tag_field="type", tag="search"):
    query: str


class OpenPageAction(msgspec.Struct, frozen=True, tag_field="type", tag="open_page"):
    url: str


class WebSearchCallItem(msgspec.Struct, frozen=True, tag_field="type", tag="web_search_call"):
    id: str
    status: Literal["in_progress", "searching", "completed", "failed"]
    action: SearchAction | OpenPageAction


class CompactionItem(msgspec.Struct, frozen=True, tag_field="type", tag="compaction"):
    id: str
    encrypted_content: str


OutputItem = (
    OutputMessage | ReasoningItem | FunctionCallItem | CustomToolCallItem | McpCallItem | WebSearchCallItem | CompactionItem
)
