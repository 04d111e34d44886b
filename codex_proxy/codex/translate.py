"""Translate the notifications of one turn into TurnEvents. Pure. CLI 0.147.0 to 0.171.0.

Unknown methods and items produce no event. The end of the turn is handled by the exchange.
"""

import functools
import re
from collections.abc import Callable

import msgspec

from codex_proxy.codex import tools, wire, work
from codex_proxy.codex.own_calls import OwnCalls
from codex_proxy.codex.scripts import Scripts
from codex_proxy.errors import InvalidRequest
from codex_proxy.history import Phase, Verbatim
from codex_proxy.turns import (
    Command,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    PlanUpdated,
    ReasoningCompleted,
    ReasoningDelta,
    ReasoningStarted,
    Recorded,
    Tool,
    ToolCalled,
    Turn,
    TurnEvent,
    Usage,
    WorkCompleted,
    WorkProgress,
    WorkStarted,
)

_PLAN_STATUS = {"inProgress": "in_progress"}

_PHASES: dict[str | None, Phase] = {"commentary": "commentary", "final_answer": "final_answer"}
_AT_ONCE = "async"  # how a message is delivered that the model has a tool send while it works on
# Start of the text that Codex substitutes for an image that it cannot decode or finds too large (0.147.0 to 0.169.0).
_LEFT_OUT = b"image content omitted because"
_SHELL = "exec_command"
_EXIT_CODE = re.compile(r"^Process exited with code (\d+)$", re.MULTILINE)

# Calls by the model that leave nothing behind in the process. Any other may leave a shell, a changed file or a running MCP server.
_HARMLESS_CALLS = frozenset(("update_plan",))
_CALL_TYPES = frozenset(("function_call", "custom_tool_call", "local_shell_call", "mcp_call"))
_NONE_YET = wire.Tokens()
_OUTPUT_TYPES = frozenset(("function_call_output", "custom_tool_call_output"))


class Translator:
    """Translates the notifications of one turn.

    It remembers how much of each message it has passed on, because some providers send whole messages without deltas. It also
    remembers which commands it has reported, because the CLI reports nothing about a sandboxed command that fails at once (seen
    with 0.163.0): such a command is known only from the model's call and the output returned to the model.
    """

    def __init__(self, turn: Turn, before: wire.Tokens = _NONE_YET) -> None:
        """`before` are the thread's token totals when the turn began."""
        self.usage: Usage | None = None
        self.totals = before
        self._before = before
        self.ran_something = False
        self.calls: list[ToolCalled] = []  # calls to the client's tools by the current model response
        self.own_calls = OwnCalls()
        self.scripts = Scripts()
        self._calls_told = False
        self._compacting = False  # the model's response is a summary for itself: neither the client's nor part of the conversation
        self._left_out = 0  # texts substituted for images
        self.latest = wire.Tokens()  # of the latest model response that reported tokens
        self._turn = turn
        self._clients_tools = {
            (tool.namespace and tools.group_to_model(tool.namespace), tools.to_model(tool.name)): tool for tool in turn.tools
        }
        self._passed_on: dict[str, int] = {}  # item id -> characters
        self._summarised: set[tuple[str, int]] = set()  # (item id, part) of summaries passed on as deltas
        self._shown: set[str] = set()  # ids of work reported as started
        self._open_commands: dict[str, str] = {}  # id -> command, for commands whose end the CLI may not report
        self._by_method: dict[str, Callable[[msgspec.Raw], list[TurnEvent]]] = {
            "item/started": self._item_started,
            "item/completed": self._item_completed,
            "item/agentMessage/delta": self._message_delta,
            "item/reasoning/summaryTextDelta": self._summary_delta,
            "item/reasoning/textDelta": self._reasoning_delta,
            "item/commandExecution/outputDelta": self._command_output,
            "item/mcpToolCall/progress": self._mcp_progress,
            "turn/plan/updated": self._plan,
            "rawResponseItem/completed": self._raw_item,
            "rawResponse/completed": self._response_tokens,
            "thread/tokenUsage/updated": self._tokens,
        }

    def translate(self, method: str, params: msgspec.Raw) -> list[TurnEvent]:
        """The events of one notification, usually one. Raises msgspec.MsgspecError when the notification has an unknown form."""
        translate = self._by_method.get(method)
        return translate(params) if translate else []

    def _item_started(self, params: msgspec.Raw) -> list[TurnEvent]:
        item = _item.decode(params).item
        self._compacting |= item.type == wire.COMPACTION
        if item.type == "agentMessage":
            self._passed_on[item.id] = 0
            return [MessageStarted(item.id, None if item.delivery == _AT_ONCE else _PHASES.get(item.phase))]
        if item.type == "reasoning":
            return [ReasoningStarted(item.id)]
        self._open_commands.pop(item.id, None)
        self.own_calls.begin(item.id)
        begun = work.of(item)
        if begun is None or item.id in self._shown:
            return []
        self._shown.add(item.id)
        return [WorkStarted(item.id, begun)]

    def _item_completed(self, params: msgspec.Raw) -> list[TurnEvent]:
        item = _item.decode(params).item
        self._compacting &= item.type != wire.COMPACTION
        if self._calls_told and item.type in work.TYPES:
            return []  # cut off by the interrupt: it stays open, and is reported as incomplete
        if item.type == "agentMessage":
            rest = item.text[self._passed_on.pop(item.id, 0) :]
            missing: list[TurnEvent] = [MessageDelta(item.id, rest)] if rest else []
            return [*missing, MessageCompleted(item.id, item.text)]
        done = work.of(item)
        return [WorkCompleted(item.id, done)] if done else []

    def _message_delta(self, params: msgspec.Raw) -> list[TurnEvent]:
        news = _delta.decode(params)
        self._passed_on[news.item_id] = self._passed_on.get(news.item_id, 0) + len(news.delta)
        return [MessageDelta(news.item_id, news.delta)]

    def _summary_delta(self, params: msgspec.Raw) -> list[TurnEvent]:
        news = _delta.decode(params)
        self._summarised.add((news.item_id, news.summary_index))
        return [ReasoningDelta(news.item_id, news.summary_index, news.delta)]

    def _reasoning_delta(self, params: msgspec.Raw) -> list[TurnEvent]:
        if not self._turn.raw_reasoning:
            return []
        news = _delta.decode(params)
        return [ReasoningDelta(news.item_id, news.content_index, news.delta, raw=True)]

    def _command_output(self, params: msgspec.Raw) -> list[TurnEvent]:
        news = _delta.decode(params)
        return [WorkProgress(news.item_id, news.delta)]

    def _mcp_progress(self, params: msgspec.Raw) -> list[TurnEvent]:
        news = msgspec.json.decode(params, type=wire.McpProgress)
        return [WorkProgress(news.item_id, news.message)]

    def _plan(self, params: msgspec.Raw) -> list[TurnEvent]:
        news = msgspec.json.decode(params, type=wire.PlanNews)
        return [PlanUpdated(tuple((step.step, _PLAN_STATUS.get(step.status, step.status)) for step in news.plan))]

    def check_images(self, params: msgspec.Raw) -> None:
        """Raise InvalidRequest when Codex has left out an image that came with the request.

        The request's items come before the model's first response; images after it are those that the agent itself looks at.
        """
        if self.usage is None and (found := bytes(params).count(b'"text":"' + _LEFT_OUT)):
            self._left_out += found
            if self._left_out > self._said_to_be_left_out:
                raise InvalidRequest("An image in the conversation could not be decoded: it is damaged, or too large for Codex.")

    @functools.cached_property
    def _said_to_be_left_out(self) -> int:
        """How often the request's own texts contain these words."""
        return msgspec.json.encode((self._turn.history, self._turn.input)).count(_LEFT_OUT)

    def _raw_item(self, params: msgspec.Raw) -> list[TurnEvent]:
        item = _raw.decode(params).item
        if item.type == "message" and item.role == "user":
            self.check_images(params)
        return [] if self._compacting else [*self._recorded(item, params), *self._told(item)]

    def _recorded(self, item: wire.RawItem, params: msgspec.Raw) -> list[TurnEvent]:
        """The item itself if the turn is recorded and the model wrote or was given it; not what Codex put before the turn."""
        said_before = item.type == "message" and item.role != "assistant"
        if not self._turn.record or said_before or item.type == wire.TOOLS or self._calls_told:
            return []
        whole = _whole_item.decode(params).item
        whole.pop(wire.PRIVATE, None)
        clients = (item.group, item.name) in self._clients_tools
        if clients and self._turn.one_call and self.calls:
            return []  # not reported either
        calls = item.call_id if item.type == "function_call" and clients else None
        return [Recorded(Verbatim(msgspec.json.encode(whole).decode(), calls=calls))]

    def _told(self, item: wire.RawItem) -> list[TurnEvent]:
        if item.type == "reasoning" and item.id is not None:
            return self._reasoning_completed(item.id, item)
        if item.type == "function_call" and (tool := self._clients_tools.get((item.group, item.name))):
            self._note_call(tool, item)
            return []
        self.own_calls.note(item, behind_clients=bool(self.calls))
        self.scripts.note(item)
        if self._calls_told:
            return []  # outputs of work cut off by the interrupt
        if item.type in _OUTPUT_TYPES and item.call_id in self._open_commands:
            output = "".join(item.output_texts)
            code = _EXIT_CODE.search(output)
            done = Command(self._open_commands.pop(item.call_id), output, int(code[1]) if code else None)
            return [WorkCompleted(item.call_id, done)]
        if item.type not in _CALL_TYPES or item.name in _HARMLESS_CALLS:
            return []
        self.ran_something = True
        if item.name != _SHELL:
            return []
        command = _shell_command(item.arguments)
        self._open_commands[item.call_id] = command
        self._shown.add(item.call_id)
        return [WorkStarted(item.call_id, Command(command))]

    def _reasoning_completed(self, item_id: str, item: wire.RawItem) -> list[TurnEvent]:
        summary = tuple(part.text for part in item.summary)
        missing = [(part, text) for part, text in enumerate(summary) if text and (item_id, part) not in self._summarised]
        deltas: list[TurnEvent] = [ReasoningDelta(item_id, part, text) for part, text in missing]
        return [*deltas, ReasoningCompleted(item_id, summary, item.encrypted_content)]

    def _note_call(self, tool: Tool, item: wire.RawItem) -> None:
        arguments = tools.freeform_argument(item.arguments) if tool.freeform else item.arguments
        if not (self.calls and self._turn.one_call):
            self.calls.append(ToolCalled(item.call_id, tool.name, arguments, tool.namespace))

    def tell_calls(self) -> list[ToolCalled]:
        """The calls of a completed model response. What follows them is only Codex winding up the turn."""
        self._calls_told = bool(self.calls)
        return self.calls

    def forget_calls(self) -> None:
        """Drop the calls so far, because Codex asks for their model response again."""
        self.calls.clear()
        self.own_calls.forget()

    def _response_tokens(self, params: msgspec.Raw) -> list[TurnEvent]:
        """Count a model response when it ends: if the turn is interrupted then, the totals may never be reported (0.163.0)."""
        used = msgspec.json.decode(params, type=wire.ResponseNews).usage
        return [] if used is None or self._compacting else self._count(self.totals.plus(used))

    def _tokens(self, params: msgspec.Raw) -> list[TurnEvent]:
        return self._count(msgspec.json.decode(params, type=wire.TokenNews).token_usage.total)

    def _count(self, total: wire.Tokens) -> list[TurnEvent]:
        if total != self.totals:
            self.latest = total.since(self.totals)
        self.totals = total
        used = total.since(self._before)
        cached, written = used.cached_input_tokens, used.cache_write_input_tokens
        self.usage = Usage(used.input_tokens, cached, used.output_tokens, used.reasoning_output_tokens, cache_write=written)
        return []


_item = msgspec.json.Decoder(wire.ItemNews)
_delta = msgspec.json.Decoder(wire.Delta)
_raw = msgspec.json.Decoder(wire.RawItemNews)
_whole_item = msgspec.json.Decoder(wire.WholeItemNews)


def _shell_command(arguments: str) -> str:
    try:
        return msgspec.json.decode(arguments, type=wire.ShellArguments).cmd
    except msgspec.DecodeError:
        return arguments  # not the expected JSON; the CLI will refuse it
