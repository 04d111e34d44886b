"""The body of POST /v1/responses, and what it may not contain. OpenAI API reference, "Create a model response"; Open Responses."""

from typing import Annotated, Any, Literal

import msgspec

from codex_proxy.dialects import body, bounds
from codex_proxy.dialects.common import Effort, Metadata, ServiceTier, TokenLimit, XCodex
from codex_proxy.dialects.responses import compaction
from codex_proxy.dialects.responses.objects import InConversation
from codex_proxy.dialects.responses.output_text import TextOptions
from codex_proxy.errors import InvalidRequest, UnsupportedParameter

ENCRYPTED = "reasoning.encrypted_content"
_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]


class Reasoning(msgspec.Struct, frozen=True):
    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed", "none"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class PromptCacheOptions(msgspec.Struct, frozen=True):
    """With `prewarm`, nothing is generated. The other options have no effect."""

    prewarm: bool | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    include_obfuscation: bool | None = None


class Body(msgspec.Struct, frozen=True):
    """The request body. Unknown members are ignored and named in `x-codex-ignored`."""

    input: str | Annotated[list[dict[str, Any]], msgspec.Meta(max_length=bounds.ITEMS)] | None = (
        None  # Any: items are decoded one by one, by their type
    )
    model: _Name | None = None
    instructions: Annotated[str, msgspec.Meta(max_length=bounds.INSTRUCTIONS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=bounds.TOOLS)] | None = None  # Any: decoded by their type
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None  # Any: decoded by its type
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None
    max_output_tokens: TokenLimit | None = None
    max_tool_calls: TokenLimit | None = None
    metadata: Metadata | None = None
    service_tier: ServiceTier | None = None
    x_codex: XCodex | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: _Name | None = None
    conversation: _Name | InConversation | None = None
    prompt: dict[str, Any] | None = None  # Any: refused
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    truncation: Literal["auto", "disabled"] | None = None
    prompt_cache_key: _Name | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    generate: bool | None = None  # not in the API's reference; the Codex CLI sends it
    safety_identifier: _Name | None = None
    user: _Name | None = None

    @property
    def only_continues(self) -> bool:
        """True if there is no input, and the request names what it continues instead."""
        return self.input in (None, []) and (self.previous_response_id is not None or self.conversation is not None)


def compacting(asked: Body) -> Body:
    """Return the request for the summary: in chat mode, without tools, as text."""
    extra = msgspec.structs.replace(asked.x_codex or XCodex(), mode="chat")
    given = compaction.question(asked.input)
    return msgspec.structs.replace(asked, input=given, tools=None, tool_choice="none", text=None, x_codex=extra)


def not_included(asked: Body) -> tuple[str, ...]:
    """Return the values of `include` that have no effect, as members of the request."""
    return body.shown(f"include.{value}" for value in dict.fromkeys(asked.include or ()) if value != ENCRYPTED)


def refuse_unsupported(asked: Body) -> None:
    """Raise UnsupportedParameter or InvalidRequest for what this server does not support."""
    refusals = {
        "background": (asked.background or False) and asked.store is False,
        "prompt": asked.prompt is not None,
        "top_logprobs": bool(asked.top_logprobs),
        "include": "message.output_text.logprobs" in (asked.include or ()),
    }
    for name, refused in refusals.items():
        if refused:
            raise UnsupportedParameter(f"This server does not support {name!r} as given here.", param=name)
    if asked.input is None and not asked.only_continues:
        raise InvalidRequest("Missing required parameter: 'input'.", param="input")
    if asked.conversation is not None and asked.previous_response_id is not None:
        raise InvalidRequest("Give either 'conversation' or 'previous_response_id', not both.", param="conversation")
    if asked.conversation is not None and compaction.is_triggered(asked.input):
        problem = "A conversation cannot be compacted in place. Use previous_response_id, or POST /v1/responses/compact."
        raise UnsupportedParameter(problem, param="conversation")
