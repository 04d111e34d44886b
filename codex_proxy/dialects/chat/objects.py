"""The objects of the Chat Completions API that we send. OpenAI API reference, "The chat completion object" and "… chunk object".

`reasoning_content` is the name that chat UIs and gateways use; the OpenAI API has no such member.
"""

from typing import Literal

import msgspec

from codex_proxy.dialects.common import Counted, counted
from codex_proxy.turns import Usage

FinishReason = Literal["stop", "length", "tool_calls"]


class PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int
    audio_tokens: int = 0


class CompletionDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class CompletionUsage(msgspec.Struct, frozen=True):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    x_codex: Counted = msgspec.UNSET

    @classmethod
    def of(cls, usage: Usage) -> "CompletionUsage":
        total = usage.input + usage.output
        read, written = PromptDetails(usage.cached), CompletionDetails(usage.reasoning)
        return cls(usage.input, usage.output, total, read, written, counted(usage))


class FunctionText(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function's name and arguments. A message has both, a delta one at a time."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    arguments: str | msgspec.UnsetType = msgspec.UNSET


class CustomText(msgspec.Struct, frozen=True, omit_defaults=True):
    """A custom tool's name and input. A message has both, a delta one at a time."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    input: str | msgspec.UnsetType = msgspec.UNSET


class MessageToolCall(msgspec.Struct, frozen=True):
    id: str
    function: FunctionText | msgspec.UnsetType = msgspec.UNSET
    custom: CustomText | msgspec.UnsetType = msgspec.UNSET
    type: Literal["function", "custom"] = "function"


class DeltaToolCall(msgspec.Struct, frozen=True):
    index: int
    function: FunctionText | msgspec.UnsetType = msgspec.UNSET
    custom: CustomText | msgspec.UnsetType = msgspec.UNSET
    id: str | msgspec.UnsetType = msgspec.UNSET
    type: Literal["function", "custom"] | msgspec.UnsetType = msgspec.UNSET


class AnswerMessage(msgspec.Struct, frozen=True):
    content: str | None
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    annotations: tuple[()] = ()
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: tuple[MessageToolCall, ...] | msgspec.UnsetType = msgspec.UNSET


class AnswerChoice(msgspec.Struct, frozen=True):
    message: AnswerMessage
    finish_reason: FinishReason
    index: int = 0
    logprobs: None = None


class ChatCompletion(msgspec.Struct, frozen=True):
    """A complete answer. `usage` is omitted when Codex reported none."""

    id: str
    created: int
    model: str
    choices: tuple[AnswerChoice, ...]
    object: Literal["chat.completion"] = "chat.completion"
    usage: CompletionUsage | msgspec.UnsetType = msgspec.UNSET


class AnswerDelta(msgspec.Struct, frozen=True):
    role: Literal["assistant"] | msgspec.UnsetType = msgspec.UNSET
    content: str | msgspec.UnsetType = msgspec.UNSET
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: tuple[DeltaToolCall, ...] | msgspec.UnsetType = msgspec.UNSET


class ChunkChoice(msgspec.Struct, frozen=True):
    delta: AnswerDelta
    finish_reason: FinishReason | None = None
    index: int = 0
    logprobs: None = None


class ChatCompletionChunk(msgspec.Struct, frozen=True):
    """One chunk of a stream. `usage` is null in all chunks but the last, and omitted unless the client asked for it."""

    id: str
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    usage: CompletionUsage | msgspec.UnsetType | None = msgspec.UNSET
