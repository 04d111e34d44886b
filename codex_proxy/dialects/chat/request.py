"""POST /v1/chat/completions: the body and what it asks for. OpenAI API reference, "Create chat completion"."""

from typing import Annotated, Any, Literal

import msgspec

from codex_proxy.dialects import body, bounds, foreign, freeform, images, ui_tasks
from codex_proxy.dialects.chat.messages import ChatMessage, conversation, named
from codex_proxy.dialects.common import Effort, Metadata, ServiceTier, TokenLimit, Verbosity, XCodex, service_tier, told_apart
from codex_proxy.dialects.output_format import OutputFormat, json_object, json_schema
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.history import History, Part
from codex_proxy.turns import Tool
from codex_proxy.wish import Wish

_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Weight = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_STOPS_AT_MOST = 4
_Stop = Annotated[str, msgspec.Meta(max_length=bounds.STOP)]

# Accepted without effect, and named in the header x-codex-ignored: Codex has no counterpart.
IGNORED = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed", "prediction"),
    *("prompt_cache_retention", "metadata"),
)


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class TextFormat(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Plain text."""


class JsonObjectFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JsonSchema(msgspec.Struct, frozen=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    schema: dict[str, Any] | None = None  # Any: a JSON Schema
    strict: bool | None = None
    description: str | None = None


class JsonSchemaFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_schema"):
    """JSON that matches a schema."""

    json_schema: JsonSchema


class Function(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None  # Any: a JSON Schema
    strict: bool | None = None


class FunctionTool(msgspec.Struct, frozen=True, tag_field="type", tag="function"):
    function: Function


class Custom(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None


class CustomTool(msgspec.Struct, frozen=True, tag_field="type", tag="custom"):
    custom: Custom


class FunctionName(msgspec.Struct, frozen=True):
    name: str


class NamedChoice(msgspec.Struct, frozen=True, tag_field="type", tag="function"):
    function: FunctionName


class CustomChoice(msgspec.Struct, frozen=True, tag_field="type", tag="custom"):
    custom: FunctionName


class Allowed(msgspec.Struct, frozen=True):
    mode: Literal["auto", "required"]
    tools: list[NamedChoice | CustomChoice]


class AllowedTools(msgspec.Struct, frozen=True, tag_field="type", tag="allowed_tools"):
    allowed_tools: Allowed


class Body(msgspec.Struct, frozen=True):
    """The request body. Unknown members are ignored and named in `x-codex-ignored`."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1, max_length=bounds.ITEMS)]
    model: _Name | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    stop: _Stop | Annotated[list[_Stop], msgspec.Meta(max_length=_STOPS_AT_MOST)] | None = None
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    reasoning_effort: Effort | None = None
    verbosity: Verbosity | None = None
    service_tier: ServiceTier | None = None
    web_search_options: dict[str, Any] | None = None  # Any: only its presence counts
    x_codex: XCodex | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    tools: Annotated[list[FunctionTool | CustomTool], msgspec.Meta(max_length=bounds.TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | AllowedTools | CustomChoice | None = None
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
    """A decoded request: what to ask of Codex (`wish`), and how to show the answer."""

    wish: Wish
    stream: bool
    include_usage: bool
    stop: tuple[str, ...]
    max_tokens: int | None
    show_activity: bool
    json: bool  # the answer must be nothing but JSON
    ignored: tuple[str, ...]
    freeform_tools: frozenset[str] = frozenset()  # the names of custom tools
    optional: frozenset[str] = frozenset()  # properties of the answer for which null means absent

    def with_images(self, read: images.Read) -> "ChatRequest":
        """Return the request with its image addresses and files replaced by what `read` has for them."""
        return msgspec.structs.replace(self, wish=images.put_in(self.wish, read))

    def without_conversation(self) -> "ChatRequest":
        """Return the request reduced to what the answer needs, once the turn exists."""
        return msgspec.structs.replace(self, wish=msgspec.structs.replace(self.wish, history=(), input=(), tools=()))


def decode(raw: bytes | bytearray) -> ChatRequest:
    """Decode a body. Raises InvalidRequest or UnsupportedParameter, with the path of the member at fault."""
    asked = body.decode(raw, Body, foreign.CHAT)
    _refuse_unsupported(asked)
    extra = asked.x_codex or XCodex()
    history, prompt = conversation(asked.messages)
    form = _format(asked)
    wish = _wish(asked, extra, history, prompt, form)
    options = asked.stream_options or StreamOptions()
    limits = [limit for limit in (asked.max_completion_tokens, asked.max_tokens) if limit is not None]
    return ChatRequest(
        wish=wish,
        stream=asked.stream or False,
        include_usage=options.include_usage or False,
        stop=_stops(asked.stop),
        max_tokens=min(limits, default=None),
        show_activity=extra.activity != "none",
        json=form.is_json,
        optional=form.optional,
        ignored=(*body.ignored(raw, Body, IGNORED), *(("messages.name",) if named(asked.messages) else ())),
        freeform_tools=frozenset(tool.name for tool in wish.tools if tool.freeform),
    )


def _wish(asked: Body, extra: XCodex, history: tuple[History, ...], prompt: tuple[Part, ...], form: OutputFormat) -> Wish:
    tools, must_call = _tools(asked)
    wish = Wish(
        model=asked.model,
        history=history,
        note=form.as_history(),
        input=prompt,
        tools=tools,
        must_call=must_call,
        one_call=asked.parallel_tool_calls is False,
        output_schema=form.schema,
        checked_schema=form.checked,
        effort=asked.reasoning_effort or extra.reasoning_effort,
        effort_place="reasoning_effort" if asked.reasoning_effort else "x_codex.reasoning_effort",
        mode=extra.mode,
        sandbox=extra.sandbox,
        network=extra.network_access,
        cwd=extra.cwd,
        hide_reasoning=extra.hide_reasoning,
        expose_reasoning=extra.expose_reasoning or False,
        verbosity=asked.verbosity,
        service_tier=service_tier(asked.service_tier),
        web_search=asked.web_search_options is not None,
        apart=told_apart(asked.user, asked.safety_identifier, asked.prompt_cache_key, extra),
        private=asked.store is False,
    )
    images.check_number(len(wish.images), "messages")
    return msgspec.structs.replace(wish, task=ui_tasks.recognised(wish, streamed=asked.stream or False))


def _refuse_unsupported(asked: Body) -> None:
    refusals = {
        "n": (asked.n or 1) > 1,
        "logprobs": bool(asked.logprobs),
        "top_logprobs": bool(asked.top_logprobs),
        "audio": asked.audio is not None,
        "modalities": "audio" in (asked.modalities or ()),
        "functions": bool(asked.functions),
        "function_call": asked.function_call not in (None, "none"),
    }
    for name, refused in refusals.items():
        if refused:
            raise UnsupportedParameter(f"This server does not support {name!r} as given here.", param=name)


def _format(asked: Body) -> OutputFormat:
    match asked.response_format:
        case JsonObjectFormat():
            return json_object()
        case JsonSchemaFormat(json_schema=wanted):
            strict = wanted.strict or False
            return json_schema(wanted.schema or {}, strict=strict, place="response_format.json_schema.schema")
        case _:
            return OutputFormat()


def _tools(asked: Body) -> tuple[tuple[Tool, ...], bool]:
    """Return the tools to offer to the model, and whether it must call one."""
    passed = bounds.PassedOn("tools")
    tools = [_tool(tool, f"tools[{index}]", passed) for index, tool in enumerate(asked.tools or [])]
    match asked.tool_choice:
        case "none":
            return (), False
        case "required":
            if not tools:
                raise InvalidRequest("tool_choice is 'required', but there are no tools.", param="tool_choice")
            return tuple(tools), True
        case NamedChoice(function=wanted) | CustomChoice(custom=wanted):
            return _named(tools, [wanted.name]), True
        case AllowedTools(allowed_tools=allowed):
            names = [tool.function.name if isinstance(tool, NamedChoice) else tool.custom.name for tool in allowed.tools]
            if allowed.mode == "required" and not names:
                raise InvalidRequest("tool_choice requires a call, and allows no tool.", param="tool_choice")
            return _named(tools, names), allowed.mode == "required"
        case _:
            return tuple(tools), False


def _named(tools: list[Tool], names: list[str]) -> tuple[Tool, ...]:
    """Return the tools with these names. Raises InvalidRequest for a name that no tool has."""
    if missing := next((name for name in names if all(tool.name != name for tool in tools)), None):
        raise InvalidRequest(f"tool_choice names {missing[:140]!r}, which is not among the tools.", param="tool_choice")
    return tuple(tool for tool in tools if tool.name in names)


def _tool(tool: FunctionTool | CustomTool, place: str, passed: bounds.PassedOn) -> Tool:
    if isinstance(tool, CustomTool):
        description = passed.text(tool.custom.description or "") + freeform.NOTE
        return Tool(tool.custom.name, description, "{}", freeform=True, place=place)
    schema = tool.function.parameters or {"type": "object", "properties": {}}
    parameters = passed.text_of(schema, f"{place}.function.parameters")
    return Tool(tool.function.name, passed.text(tool.function.description or ""), parameters, place=place)


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    words = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(words):
        raise InvalidRequest("A stop sequence must not be empty.", param="stop")
    return words
