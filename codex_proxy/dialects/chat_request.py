"""POST /v1/chat/completions: the body, and what it asks for. OpenAI API reference, "Create chat completion"."""

import re
from typing import Annotated, Any, Literal

import msgspec

from codex_proxy.dialects import body
from codex_proxy.dialects.common import Effort, Metadata, ServiceTier, TokenLimit, Verbosity, XCodex, image, service_tier
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.turns import Message, Part, Text, Wish

_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Weight = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_STOPS_AT_MOST = 4
_SHOWN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SHOWN_AT_MOST = 40

# Accepted without effect, and named in the header x-codex-ignored: Codex has no counterpart.
IGNORED = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed", "prediction"),
    *("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user", "metadata", "store", "parallel_tool_calls"),
)


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class RefusalPart(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class ImageUrl(msgspec.Struct, frozen=True):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class AudioPart(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    """Known, and refused by name."""


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    """Known, and refused by name."""


_UserPart = TextPart | ImagePart | AudioPart | FilePart
_UserParts = Annotated[list[_UserPart], msgspec.Meta(min_length=1)]
_TextParts = Annotated[list[TextPart], msgspec.Meta(min_length=1)]


class SystemMessage(msgspec.Struct, frozen=True, tag_field="role", tag="system"):
    content: str | _TextParts
    name: str | None = None


class DeveloperMessage(msgspec.Struct, frozen=True, tag_field="role", tag="developer"):
    content: str | _TextParts
    name: str | None = None


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    content: str | _UserParts
    name: str | None = None


class AssistantMessage(msgspec.Struct, frozen=True, tag_field="role", tag="assistant"):
    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None  # Any: refused


class ToolMessage(msgspec.Struct, frozen=True, tag_field="role", tag="tool"):
    content: str | _TextParts
    tool_call_id: str


class FunctionMessage(msgspec.Struct, frozen=True, tag_field="role", tag="function"):
    """Known, and refused by name."""


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    type: Literal["text", "json_object", "json_schema"]


class Body(msgspec.Struct, frozen=True):
    """The members that we read or whose type we check; unknown ones are ignored, and said to be."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1, max_length=100_000)]
    model: _Name | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=_STOPS_AT_MOST)] | None = None
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    reasoning_effort: Effort | None = None
    verbosity: Verbosity | None = None
    service_tier: ServiceTier | None = None
    web_search_options: dict[str, Any] | None = None  # Any: only its presence counts
    x_codex: XCodex | None = None
    response_format: ResponseFormat | None = None
    tools: list[dict[str, Any]] | None = None  # Any: refused
    tool_choice: str | dict[str, Any] | None = None  # Any: refused
    functions: list[Any] | None = None  # Any: refused
    function_call: str | dict[str, Any] | None = None  # Any: refused
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: dict[str, Any] | None = None  # Any: refused
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    presence_penalty: _Weight | None = None
    frequency_penalty: _Weight | None = None
    logit_bias: dict[str, float] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    prediction: dict[str, Any] | None = None  # Any: ignored
    parallel_tool_calls: bool | None = None
    prompt_cache_key: _Name | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: _Name | None = None
    user: _Name | None = None
    metadata: Metadata | None = None
    store: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """A decoded request: what is asked of Codex (`wish`), and how the answer is to be shown."""

    wish: Wish
    stream: bool
    include_usage: bool
    stop: tuple[str, ...]
    max_tokens: int | None
    show_activity: bool
    ignored: tuple[str, ...]


def decode(raw: bytes) -> ChatRequest:
    """Raises InvalidRequest or UnsupportedParameter, with the path of the member at fault."""
    asked = body.decode(raw, Body)
    _refuse_unsupported(asked)
    extra = asked.x_codex or XCodex()
    conversation = [_message(message, f"messages[{index}]") for index, message in enumerate(asked.messages)]
    last = conversation[-1]
    if last.role == "user" and not any(part for part in last.parts if not isinstance(part, Text) or part.text.strip()):
        raise InvalidRequest("The last message is empty.", param=f"messages[{len(conversation) - 1}].content")
    history, prompt = (conversation[:-1], last.parts) if last.role == "user" else (conversation, ())
    wish = Wish(
        model=asked.model,
        history=tuple(message for message in history if message.parts),
        input=prompt,
        effort=asked.reasoning_effort or extra.reasoning_effort,
        mode=extra.mode,
        sandbox=extra.sandbox,
        network=extra.network_access,
        cwd=extra.cwd,
        hide_reasoning=extra.hide_reasoning,
        expose_reasoning=extra.expose_reasoning or False,
        verbosity=asked.verbosity,
        service_tier=service_tier(asked.service_tier),
        web_search=asked.web_search_options is not None,
    )
    options = asked.stream_options or StreamOptions()
    limits = [limit for limit in (asked.max_completion_tokens, asked.max_tokens) if limit is not None]
    return ChatRequest(
        wish=wish,
        stream=asked.stream or False,
        include_usage=options.include_usage or False,
        stop=_stops(asked.stop),
        max_tokens=min(limits, default=None),
        show_activity=extra.activity != "none",
        ignored=_ignored(raw),
    )


def _refuse_unsupported(asked: Body) -> None:
    refusals = {
        "n": (asked.n or 1) > 1,
        "logprobs": bool(asked.logprobs),
        "top_logprobs": bool(asked.top_logprobs),
        "audio": asked.audio is not None,
        "modalities": "audio" in (asked.modalities or ()),
        "functions": bool(asked.functions),
        "function_call": asked.function_call not in (None, "none"),
        "tools": bool(asked.tools),
        "tool_choice": asked.tool_choice not in (None, "none", "auto"),
        "response_format": asked.response_format is not None and asked.response_format.type != "text",
    }
    for name, refused in refusals.items():
        if refused:
            raise UnsupportedParameter(f"This server does not support {name!r} as given here.", param=name)


def _message(message: ChatMessage, place: str) -> Message:
    match message:
        case SystemMessage() | DeveloperMessage():
            return Message("developer", _texts(message.content))
        case UserMessage():
            return Message("user", _user_parts(message.content, place))
        case AssistantMessage():
            if message.tool_calls:
                raise UnsupportedParameter("This server does not support tool calls yet.", param=f"{place}.tool_calls")
            said = _texts(message.content or [])
            refused = (Text(message.refusal),) if message.refusal else ()
            return Message("assistant", said + refused)
        case _:
            raise UnsupportedParameter(f"This server does not support the role of {place} yet.", param=f"{place}.role")


def _texts(content: str | list[TextPart] | list[TextPart | RefusalPart]) -> tuple[Text, ...]:
    if isinstance(content, str):
        return (Text(content),)
    return tuple(Text(part.text if isinstance(part, TextPart) else part.refusal) for part in content)


def _user_parts(content: str | list[_UserPart], place: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_user_part(part, f"{place}.content[{index}]") for index, part in enumerate(content))


def _user_part(part: _UserPart, place: str) -> Part:
    match part:
        case TextPart():
            return Text(part.text)
        case ImagePart():
            return image(part.image_url.url, part.image_url.detail, f"{place}.image_url.url")
        case _:
            raise UnsupportedParameter("Audio and files are not supported; text and images are.", param=place)


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    words = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(words):
        raise InvalidRequest("A stop sequence is not empty.", param="stop")
    return words


def _ignored(raw: bytes) -> tuple[str, ...]:
    """Which members of the request have no effect, as far as their names can stand in a header."""
    given = [name for name in body.members(raw) if name in IGNORED or name not in Body.__struct_fields__]
    return tuple(name for name in given if _SHOWN_NAME.fullmatch(name))[:_SHOWN_AT_MOST]
