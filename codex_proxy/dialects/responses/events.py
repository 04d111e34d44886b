"""The stream events of the Responses API that we send. OpenAI API reference, "Streaming events"; Open Responses.

Every event has a sequence_number, from 0, without gaps. The struct's tag is the event's type.
"""

import msgspec

from codex_proxy.dialects.responses.items import OutputItem, OutputText, ReasoningText, SummaryText
from codex_proxy.dialects.responses.objects import Response


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    sequence_number: int


class _OfResponse(_Event, frozen=True, kw_only=True):
    response: Response


class _OfItem(_Event, frozen=True, kw_only=True):
    output_index: int
    item_id: str


class _OfContent(_OfItem, frozen=True, kw_only=True):
    content_index: int = 0


class _OfSummary(_OfItem, frozen=True, kw_only=True):
    summary_index: int


class Created(_OfResponse, frozen=True, kw_only=True, tag="response.created"):
    pass


class Queued(_OfResponse, frozen=True, kw_only=True, tag="response.queued"):
    pass


class InProgress(_OfResponse, frozen=True, kw_only=True, tag="response.in_progress"):
    pass


class Completed(_OfResponse, frozen=True, kw_only=True, tag="response.completed"):
    pass


class Incomplete(_OfResponse, frozen=True, kw_only=True, tag="response.incomplete"):
    pass


class Failed(_OfResponse, frozen=True, kw_only=True, tag="response.failed"):
    pass


class Error(_Event, frozen=True, kw_only=True, tag="error"):
    """An error after the stream has begun that is not a failure of the turn."""

    code: str | None
    message: str
    param: str | None = None


class ItemAdded(_Event, frozen=True, kw_only=True, tag="response.output_item.added"):
    output_index: int
    item: OutputItem


class ItemDone(_Event, frozen=True, kw_only=True, tag="response.output_item.done"):
    output_index: int
    item: OutputItem


class PartAdded(_OfContent, frozen=True, kw_only=True, tag="response.content_part.added"):
    part: OutputText | ReasoningText


class PartDone(_OfContent, frozen=True, kw_only=True, tag="response.content_part.done"):
    part: OutputText | ReasoningText


class TextDelta(_OfContent, frozen=True, kw_only=True, tag="response.output_text.delta"):
    delta: str
    logprobs: tuple[()] = ()


class TextDone(_OfContent, frozen=True, kw_only=True, tag="response.output_text.done"):
    text: str
    logprobs: tuple[()] = ()


class SummaryPartAdded(_OfSummary, frozen=True, kw_only=True, tag="response.reasoning_summary_part.added"):
    part: SummaryText


class SummaryPartDone(_OfSummary, frozen=True, kw_only=True, tag="response.reasoning_summary_part.done"):
    part: SummaryText


class SummaryDelta(_OfSummary, frozen=True, kw_only=True, tag="response.reasoning_summary_text.delta"):
    delta: str


class SummaryDone(_OfSummary, frozen=True, kw_only=True, tag="response.reasoning_summary_text.done"):
    text: str


class ReasoningDelta(_OfContent, frozen=True, kw_only=True, tag="response.reasoning_text.delta"):
    delta: str


class ReasoningDone(_OfContent, frozen=True, kw_only=True, tag="response.reasoning_text.done"):
    text: str


class ArgumentsDelta(_OfItem, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"):
    delta: str


class ArgumentsDone(_OfItem, frozen=True, kw_only=True, tag="response.function_call_arguments.done"):
    name: str
    arguments: str


class InputDelta(_OfItem, frozen=True, kw_only=True, tag="response.custom_tool_call_input.delta"):
    delta: str


class InputDone(_OfItem, frozen=True, kw_only=True, tag="response.custom_tool_call_input.done"):
    input: str


class McpArgumentsDelta(_OfItem, frozen=True, kw_only=True, tag="response.mcp_call_arguments.delta"):
    delta: str


class McpArgumentsDone(_OfItem, frozen=True, kw_only=True, tag="response.mcp_call_arguments.done"):
    arguments: str


class McpInProgress(_OfItem, frozen=True, kw_only=True, tag="response.mcp_call.in_progress"):
    pass


class McpCompleted(_OfItem, frozen=True, kw_only=True, tag="response.mcp_call.completed"):
    pass


class McpFailed(_OfItem, frozen=True, kw_only=True, tag="response.mcp_call.failed"):
    pass


class SearchInProgress(_OfItem, frozen=True, kw_only=True, tag="response.web_search_call.in_progress"):
    pass


class Searching(_OfItem, frozen=True, kw_only=True, tag="response.web_search_call.searching"):
    pass


class SearchCompleted(_OfItem, frozen=True, kw_only=True, tag="response.web_search_call.completed"):
    pass


class Compacting(_OfItem, frozen=True, kw_only=True, tag="response.compaction.compacting"):
    """More of the summary has been written. Its text is not sent."""


StreamEvent = (
    Created
    | Queued
    | InProgress
    | Completed
    | Incomplete
    | Failed
    | Error
    | ItemAdded
    | ItemDone
    | PartAdded
    | PartDone
    | TextDelta
    | TextDone
    | SummaryPartAdded
    | SummaryPartDone
    | SummaryDelta
    | SummaryDone
    | ReasoningDelta
    | ReasoningDone
    | ArgumentsDelta
    | ArgumentsDone
    | InputDelta
    | InputDone
    | McpArgumentsDelta
    | McpArgumentsDone
    | McpInProgress
    | McpCompleted
    | McpFailed
    | SearchInProgress
    | Searching
    | SearchCompleted
    | Compacting
)
