"""The response object. OpenAI API reference, "The response object"; Open Responses requires every key, null when unset."""

from typing import Any, Literal

import msgspec

from codex_proxy.dialects.common import Counted, counted
from codex_proxy.dialects.responses.items import OutputItem
from codex_proxy.errors import ContextTooLong, InvalidRequest, ModelNotFound, ProxyError, QuotaExceeded, RateLimited
from codex_proxy.turns import Usage

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class InputDetails(msgspec.Struct, frozen=True):
    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int


class ResponseUsage(msgspec.Struct, frozen=True):
    """Tokens."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int
    x_codex: Counted = msgspec.UNSET

    @classmethod
    def of(cls, usage: Usage) -> "ResponseUsage":
        read = InputDetails(usage.cached, usage.cache_write)
        written = OutputDetails(usage.reasoning)
        return cls(usage.input, read, usage.output, written, usage.input + usage.output, counted(usage))


class ResponseError(msgspec.Struct, frozen=True):
    """Why a response failed; `code` is one of the API's codes."""

    code: str
    message: str

    @classmethod
    def of(cls, error: ProxyError) -> "ResponseError":
        return cls(_code(error), error.told)


def named(error: ProxyError) -> ProxyError:
    """Name the conversation as this API does: other layers name it as chat completions do."""
    if error.param == "messages":
        error.param = "input"
    return error


def _code(error: ProxyError) -> str:
    match error:
        case RateLimited() | QuotaExceeded():
            return "rate_limit_exceeded"
        case InvalidRequest() | ContextTooLong() | ModelNotFound():
            return "invalid_prompt"
        case _:
            return "server_error"


class IncompleteDetails(msgspec.Struct, frozen=True):
    reason: Literal["max_output_tokens", "steered"]


class ReasoningEcho(msgspec.Struct, frozen=True):
    effort: str | None
    summary: str | None


class TextEcho(msgspec.Struct, frozen=True):
    format: dict[str, Any]  # Any: the request's own text.format
    verbosity: str | msgspec.UnsetType = msgspec.UNSET


class InConversation(msgspec.Struct, frozen=True):
    """The conversation that a response belongs to."""

    id: str


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A response. Parameters that Codex does not have, such as temperature, are echoed but have no effect."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Status
    background: bool = False
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    model: str
    output: tuple[OutputItem, ...] = ()
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: ReasoningEcho
    safety_identifier: str | None = None
    service_tier: str = "default"
    store: bool = False
    temperature: float = 1.0
    text: TextEcho
    tool_choice: Any  # Any: the request's own
    tools: list[dict[str, Any]]  # Any: the request's own
    top_logprobs: int = 0
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    truncation: str = "disabled"
    usage: ResponseUsage | None = None
    metadata: dict[str, str] = {}
    user: str | msgspec.UnsetType = msgspec.UNSET
    conversation: InConversation | msgspec.UnsetType = msgspec.UNSET

    @property
    def ended_well(self) -> bool:
        """Whether it has ended with an answer, if only a cut one, so that a conversation goes on from it."""
        return self.status in ("completed", "incomplete")
