"""POST /v1/responses: the body, and what it asks for. OpenAI API reference, "Create a model response"; Open Responses."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from codex_proxy.dialects import body, bounds, images
from codex_proxy.dialects.common import Effort, Metadata, ServiceTier, TokenLimit, Verbosity, XCodex, service_tier, told_apart
from codex_proxy.dialects.output_format import OutputFormat, json_object, json_schema
from codex_proxy.dialects.responses import tools as responses_tools
from codex_proxy.dialects.responses.input import check_calls, conversation
from codex_proxy.dialects.responses.objects import InConversation, ReasoningEcho, Response, TextEcho
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.turns import History, Message, Part, Text, Turn, Verbatim
from codex_proxy.wish import Wish

_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_ENCRYPTED = "reasoning.encrypted_content"

# Accepted without effect, and named in the header x-codex-ignored: Codex has no counterpart.
IGNORED = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tool_calls", "truncation"),
    "prompt_cache_retention",
)

# Members of chat completions that clients send here, and what they are told.
_ADVICE = "In the Responses API, this parameter has moved to {}."
FOREIGN = {
    "messages": _ADVICE.format("'input'"),
    "response_format": _ADVICE.format("'text.format'"),
    "verbosity": _ADVICE.format("'text.verbosity'"),
    "max_tokens": _ADVICE.format("'max_output_tokens'"),
    "max_completion_tokens": _ADVICE.format("'max_output_tokens'"),
    "reasoning_effort": _ADVICE.format("'reasoning.effort'"),
    "functions": _ADVICE.format("'tools'"),
    "function_call": _ADVICE.format("'tool_choice'"),
    "web_search_options": _ADVICE.format("'tools', as a tool of type 'web_search'"),
}


class Reasoning(msgspec.Struct, frozen=True):
    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed", "none"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class TextFormat(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Plain text."""


class JsonObjectFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_object"):
    """Some JSON object."""


class JsonSchemaFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_schema"):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    schema: dict[str, Any]  # Any: a JSON Schema
    strict: bool | None = None
    description: str | None = None


class TextOptions(msgspec.Struct, frozen=True):
    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: Verbosity | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    include_obfuscation: bool | None = None


class Body(msgspec.Struct, frozen=True):
    """The members that we read or whose type we check; unknown ones are ignored, and said to be."""

    input: (
        str | Annotated[list[dict[str, Any]], msgspec.Meta(max_length=bounds.ITEMS)]
    )  # Any: items are decoded one by one, by their type
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
    safety_identifier: _Name | None = None
    user: _Name | None = None


class Echo(msgspec.Struct, frozen=True):
    """What every answer repeats of the request and may be large: as JSON text, which is written as it is."""

    text: TextEcho
    tool_choice: msgspec.Raw
    tools: list[Any]  # Any: msgspec.Raw, where the answer has objects


class ResponsesRequest(msgspec.Struct, frozen=True):
    """A decoded request: what is asked of Codex (`wish`), how to show the answer, and what is echoed in it.

    `given` is the conversation without the instructions, which do not carry over to a continuation.
    """

    wish: Wish
    body: Body
    instructions: tuple[Message, ...]
    given: tuple[History, ...]
    form: OutputFormat
    echo: "Echo"
    show_activity: bool
    show_encrypted: bool  # also where nothing is stored, as in the API
    json: bool  # the answer must be JSON and nothing else
    ignored: tuple[str, ...]

    @property
    def stream(self) -> bool:
        return self.body.stream or False

    @property
    def store(self) -> bool:
        return self.body.store is not False

    @property
    def conversation_id(self) -> str | None:
        given = self.body.conversation
        return given.id if isinstance(given, InConversation) else given

    @property
    def background(self) -> bool:
        return self.body.background or False

    def continuing(self, earlier: tuple[History, ...]) -> "ResponsesRequest":
        """The request with the conversation that it continues, () for none. Raises InvalidRequest for calls without outputs."""
        given = (*earlier, *self.given)
        bounds.at_most(bounds.ITEMS, len(given), "items", "previous_response_id" if earlier else "input")
        check_calls(given)
        history = (*self.instructions, *given)
        wish = msgspec.structs.replace(self.wish, history=history)
        images.check_number(wish.images, "input")
        return msgspec.structs.replace(self, wish=wish, given=given)

    def with_images(self, fetched: Mapping[str, str]) -> "ResponsesRequest":
        """The request with what its images' addresses gave, also for the continuation."""
        if not fetched:
            return self
        given = images.put_in_history(self.given, fetched)
        return msgspec.structs.replace(self, wish=images.put_in(self.wish, fetched), given=given)

    def without_conversation(self) -> "ResponsesRequest":
        """What is needed for the answer, once the turn has been made."""
        body = msgspec.structs.replace(self.body, input="", include=None, tools=None, tool_choice=None, text=None)
        wish = msgspec.structs.replace(self.wish, history=(), input=(), tools=())
        return msgspec.structs.replace(self, wish=wish, body=body, given=())

    def conversation(self, recorded: Sequence[Verbatim]) -> tuple[History, ...]:
        """What a continuation of the answer begins with, once the answer is `recorded`."""
        prompt = (Message("user", self.wish.input),) if self.wish.input else ()
        return (*self.given, *prompt, *recorded)

    def blank_response(self, response_id: str, created_at: int, turn: Turn) -> Response:
        """The response object as it is when the turn begins."""
        body = self.body
        return Response(
            id=response_id,
            created_at=created_at,
            status="queued" if self.background else "in_progress",
            background=self.background,
            previous_response_id=body.previous_response_id,
            store=self.store,
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            max_tool_calls=body.max_tool_calls,
            model=body.model or turn.model,
            parallel_tool_calls=body.parallel_tool_calls is not False,
            prompt_cache_key=body.prompt_cache_key,
            reasoning=ReasoningEcho(turn.effort, None if turn.summary == "none" else turn.summary),
            safety_identifier=body.safety_identifier,
            service_tier=turn.service_tier or "default",
            temperature=1.0 if body.temperature is None else body.temperature,
            text=self.echo.text,
            tool_choice=self.echo.tool_choice,
            tools=self.echo.tools,
            top_p=1.0 if body.top_p is None else body.top_p,
            presence_penalty=body.presence_penalty or 0.0,
            frequency_penalty=body.frequency_penalty or 0.0,
            truncation=body.truncation or "disabled",
            metadata=body.metadata or {},
            user=msgspec.UNSET if body.user is None else body.user,
            conversation=msgspec.UNSET if (name := self.conversation_id) is None else InConversation(name),
        )


def decode(raw: bytes | bytearray) -> ResponsesRequest:
    """Raises InvalidRequest or UnsupportedParameter, with the path of the member at fault."""
    asked = body.decode(raw, Body, FOREIGN)
    _refuse_unsupported(asked)
    extra = asked.x_codex or XCodex()
    history, prompt = conversation(asked.input)
    instructions = (Message("developer", (Text(asked.instructions),)),) if asked.instructions else ()
    form = _format(asked)
    offered = responses_tools.decode(asked.tools or [], asked.tool_choice)
    return ResponsesRequest(
        wish=_wish(asked, extra, prompt, form, offered),
        body=asked,
        instructions=instructions,
        given=history,
        form=form,
        echo=_echo(asked),
        show_activity=extra.activity != "none",
        show_encrypted=_ENCRYPTED in (asked.include or ()),
        json=form.is_json,
        ignored=(*body.ignored(raw, Body, IGNORED), *offered.ignored),
    )


def _wish(asked: Body, extra: XCodex, prompt: tuple[Part, ...], form: OutputFormat, offered: responses_tools.Offered) -> Wish:
    reasoning = asked.reasoning or Reasoning()
    return Wish(
        model=asked.model,
        history=(),  # `continuing` puts it together
        input=prompt,
        record=asked.store is not False,
        tools=offered.tools,
        must_call=offered.must_call,
        one_call=asked.parallel_tool_calls is False,
        output_schema=form.schema,
        effort=reasoning.effort or extra.reasoning_effort,
        effort_place="reasoning.effort" if reasoning.effort else "x_codex.reasoning_effort",
        mode=extra.mode,
        sandbox=extra.sandbox,
        network=extra.network_access,
        cwd=extra.cwd,
        summary=reasoning.summary or reasoning.generate_summary,
        hide_reasoning=extra.hide_reasoning,
        expose_reasoning=extra.expose_reasoning or False,
        verbosity=asked.text.verbosity if asked.text else None,
        service_tier=service_tier(asked.service_tier),
        web_search=offered.web_search,
        web_search_place="tools",
        note=form.as_history(),
        apart=told_apart(asked.user, asked.safety_identifier, asked.prompt_cache_key, extra),
        private=asked.store is False,
    )


def _refuse_unsupported(asked: Body) -> None:
    refusals = {
        "background": (asked.background or False) and asked.store is False,
        "prompt": asked.prompt is not None,
        "top_logprobs": bool(asked.top_logprobs),
        "include": "message.output_text.logprobs" in (asked.include or ()),
    }
    for name, refused in refusals.items():
        if refused:
            raise UnsupportedParameter(f"This server does not support {name!r} as given here.", param=name)
    if asked.conversation is not None and asked.previous_response_id is not None:
        raise InvalidRequest("Give either 'conversation' or 'previous_response_id', not both.", param="conversation")


def _format(asked: Body) -> OutputFormat:
    match asked.text and asked.text.format:
        case JsonObjectFormat():
            return json_object()
        case JsonSchemaFormat() as wanted:
            return json_schema(wanted.schema, strict=wanted.strict or False, place="text.format.schema")
        case _:
            return OutputFormat()


def _echo(asked: Body) -> Echo:
    text = asked.text or TextOptions()
    return Echo(
        text=TextEcho(_format_echo(text), text.verbosity or msgspec.UNSET),
        tool_choice=_raw(asked.tool_choice or "auto"),
        tools=[_raw(_tool_echo(tool)) for tool in asked.tools or []],
    )


def _raw(value: Any) -> msgspec.Raw:  # Any: JSON
    return msgspec.Raw(msgspec.json.encode(value))


def _format_echo(text: TextOptions) -> dict[str, Any]:
    match text.format:
        case JsonSchemaFormat() as wanted:
            described = {"name": wanted.name, "description": wanted.description, "schema": _raw(wanted.schema)}
            return {"type": "json_schema", **described, "strict": wanted.strict or False}
        case JsonObjectFormat():
            return {"type": "json_object"}
        case _:
            return {"type": "text"}


def _tool_echo(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool as the API gives it back: with every member, null when unset."""
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "name": None, "description": None, "parameters": None, "strict": None} | tool
