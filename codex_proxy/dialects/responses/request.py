"""POST /v1/responses: the body and what it asks for. OpenAI API reference, "Create a model response"; Open Responses."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from codex_proxy.dialects import body, bounds, foreign, images, ui_tasks
from codex_proxy.dialects.common import XCodex, service_tier, told_apart
from codex_proxy.dialects.output_format import OutputFormat
from codex_proxy.dialects.responses import compaction, references, request_body, updates
from codex_proxy.dialects.responses import tools as responses_tools
from codex_proxy.dialects.responses.objects import InConversation, ReasoningEcho, Response
from codex_proxy.dialects.responses.output_text import Echo, echo, output_format, text_echo
from codex_proxy.dialects.responses.replay import check_calls, conversation
from codex_proxy.dialects.responses.request_body import Body, Reasoning
from codex_proxy.dialects.responses.updates import Given, history_in
from codex_proxy.errors import InvalidRequest
from codex_proxy.history import Message, Part, Text, Verbatim
from codex_proxy.turns import Turn
from codex_proxy.wish import Wish

_NOTHING = responses_tools.Offered((), web_search=False)
# Codex has no way to force its provider's search.
_SEARCH = Message("developer", (Text("Search the web before you answer."),))

# Accepted without effect, and named in the header x-codex-ignored: Codex has no counterpart.
IGNORED = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tool_calls", "truncation"),
    "prompt_cache_retention",
)


class ResponsesRequest(msgspec.Struct, frozen=True):
    """A decoded request: what to ask of Codex (`wish`), how to show the answer, and what the answer echoes.

    `given` is the conversation without the instructions, which do not carry over to a continuation.
    """

    wish: Wish
    body: Body
    instructions: tuple[Message, ...]
    given: tuple[Given, ...]
    offered: responses_tools.Offered
    choice: responses_tools.Choice
    form: OutputFormat
    echo: Echo
    show_activity: bool
    show_encrypted: bool  # also if nothing is stored, as in the API
    compacts: bool  # the answer is a compaction item
    ignored: tuple[str, ...]

    @property
    def stream(self) -> bool:
        return self.body.stream or False

    @property
    def store(self) -> bool:
        return self.body.store is not False

    @property
    def json(self) -> bool:
        """True if the answer must be nothing but JSON."""
        return self.form.is_json

    @property
    def conversation_id(self) -> str | None:
        given = self.body.conversation
        return given.id if isinstance(given, InConversation) else given

    @property
    def prewarm(self) -> bool:
        """True if nothing should be generated: the input is only kept for a continuation."""
        options = self.body.prompt_cache_options
        return self.body.generate is False or (options is not None and options.prewarm is True)

    @property
    def background(self) -> bool:
        return self.body.background or False

    @property
    def ui_task(self) -> str | None:
        """Return the chat UI task that this request is; None if it stores its response or continues another.

        Known only once the request is `continuing`.
        """
        body = self.body
        kept = body.store is True or body.background or body.previous_response_id is not None or body.conversation is not None
        return None if kept or self.offered.tools else ui_tasks.recognised(self.wish, streamed=self.stream)

    def unstored(self) -> "ResponsesRequest":
        """Return the request with storing turned off."""
        return msgspec.structs.replace(self, body=msgspec.structs.replace(self.body, store=False))

    def continuing(self, earlier: tuple[Given, ...]) -> "ResponsesRequest":
        """Return the request merged with the conversation that it continues, possibly (), and with the tools and settings of both.

        Raises InvalidRequest, also for calls without outputs.
        """
        given = (*earlier, *self.given)
        bounds.at_most(bounds.ITEMS, len(given), "items", "previous_response_id" if earlier else "input")
        check_calls(given)
        if not history_in(given):
            self._check_not_empty()
        offered = updates.offered(self.offered, given)
        responses_tools.check_number(len(offered.tools), "input")
        chosen = responses_tools.chosen(offered, self.choice)
        text = self.body.text if self.compacts else updates.text(given, self.body.text)
        form = self.form if text is self.body.text else output_format(text)
        wish = msgspec.structs.replace(
            self.wish,
            history=(*self.instructions, *history_in(given)),
            tools=chosen.tools,
            must_call=chosen.must_call,
            web_search=chosen.web_search,
            note=(*form.as_history(), *((_SEARCH,) if chosen.must_search else ())),
            output_schema=form.schema,
            checked_schema=form.checked,
            effort=updates.effort(given) or self.wish.effort,
        )
        images.check_number(len(wish.images), "input")
        shown = self.echo if form is self.form else msgspec.structs.replace(self.echo, text=text_echo(text))
        return msgspec.structs.replace(self, wish=wish, given=given, form=form, echo=shown)

    def _check_not_empty(self) -> None:
        """Raise InvalidRequest if there is nothing to answer, when the conversation is empty."""
        if self.compacts:
            raise InvalidRequest("There is nothing to compact.", param="input")
        if not self.wish.input and self.body.generate is not False:
            raise InvalidRequest("The input is empty, and so is what it continues.", param="input")

    def with_images(self, read: images.Read) -> "ResponsesRequest":
        """Return the request with image addresses and files replaced by what `read` has for them, also for the continuation."""
        if not read:
            return self
        given = images.put_in_history(self.given, read)
        return msgspec.structs.replace(self, wish=images.put_in(self.wish, read), given=given)

    def without_conversation(self) -> "ResponsesRequest":
        """Return the request reduced to what the answer needs, once the turn exists."""
        body = msgspec.structs.replace(self.body, input="", include=None, tools=None, tool_choice=None, text=None)
        wish = msgspec.structs.replace(self.wish, history=(), input=(), tools=())
        return msgspec.structs.replace(self, wish=wish, body=body, given=(), offered=_NOTHING)

    def conversation(self, recorded: Sequence[Verbatim]) -> tuple[Given, ...]:
        """Return what a continuation of the answer starts with, once the answer is `recorded`."""
        prompt = (Message("user", self.wish.input),) if self.wish.input and not self.compacts else ()
        return (*self.given, *prompt, *recorded)

    def blank_response(self, response_id: str, created_at: int, turn: Turn) -> Response:
        """Return the response object as of the turn's start."""
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


def decode(raw: bytes | bytearray, kept: Mapping[str, dict[str, Any]] | None = None) -> ResponsesRequest:
    """Decode a body. Raises InvalidRequest or UnsupportedParameter, with the path of the member at fault, and ItemNotFound.

    `kept` maps the ids from `references.wanted` to the items found for them.
    """
    asked = body.decode(raw, Body, foreign.RESPONSES)
    request_body.refuse_unsupported(asked)
    asked = msgspec.structs.replace(asked, input=references.replaced(asked.input, kept or {}))
    made = request_body.compacting(asked) if (compacts := compaction.is_triggered(asked.input)) else asked
    extra = made.x_codex or XCodex()
    history, prompt = conversation(made.input, may_be_empty=asked.generate is False or asked.only_continues)
    instructions = (Message("developer", (Text(asked.instructions),)),) if asked.instructions else ()
    form = output_format(made.text)
    offered = responses_tools.gathered(made.tools or [], "tools")
    idle = IGNORED if asked.prompt_cache_options and asked.prompt_cache_options.prewarm else (*IGNORED, "prompt_cache_options")
    return ResponsesRequest(
        wish=_wish(made, extra, prompt),
        body=asked,
        instructions=instructions,
        given=history,
        offered=offered,
        choice=responses_tools.decode_choice(made.tool_choice),
        form=form,
        echo=echo(asked.text, asked.tool_choice, asked.tools),
        show_activity=extra.activity != "none",
        show_encrypted=request_body.ENCRYPTED in (asked.include or ()),
        compacts=compacts,
        ignored=(*body.ignored(raw, Body, idle), *offered.ignored, *request_body.not_included(asked)),
    )


def _wish(asked: Body, extra: XCodex, prompt: tuple[Part, ...]) -> Wish:
    reasoning = asked.reasoning or Reasoning()
    return Wish(
        model=asked.model,
        history=(),  # filled in by `continuing`, as are the tools and the form
        input=prompt,
        record=asked.store is not False,
        one_call=asked.parallel_tool_calls is False,
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
        web_search_place="tools",
        apart=told_apart(asked.user, asked.safety_identifier, asked.prompt_cache_key, extra),
        private=asked.store is False,
    )
