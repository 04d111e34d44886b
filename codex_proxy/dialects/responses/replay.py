"""Converts input items, as clients replay them, to history. OpenAI API reference, "Create a model response", input.

Every item that we send may come back, so our own output items are covered.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from codex_proxy.dialects import body, freeform
from codex_proxy.dialects.call_ids import CallIds
from codex_proxy.dialects.responses import compaction, hosted, item_ids, references, updates
from codex_proxy.dialects.responses.input import (
    CallOutput,
    CustomToolCall,
    FunctionCall,
    McpApproval,
    MessageItem,
    ReasoningInput,
    parts,
)
from codex_proxy.dialects.responses.items import OutputItem
from codex_proxy.dialects.responses.updates import Given, history_in
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.history import Answered, Called, History, Message, Part, Reasoned, Role, Text, Verbatim, said

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "developer", "developer": "developer"}


def conversation(
    given: str | list[dict[str, Any]] | None, *, may_be_empty: bool = False
) -> tuple[tuple[Given, ...], tuple[Part, ...]]:
    """Split the input into history and prompt: the last message if it is the user's, else nothing, and the model continues.

    Raises InvalidRequest or UnsupportedParameter, with the path of the member at fault.
    """
    if isinstance(given, str):
        if not given.strip() and not may_be_empty:
            raise InvalidRequest("The input is empty.", param="input")
        return (), ((Text(given),) if given else ())
    history = history_of(given or [], "input")
    last = history[-1] if history else None
    if isinstance(last, Message) and last.role == "user":
        if last.is_empty and not may_be_empty:
            raise InvalidRequest("The last message is empty.", param=f"input[{len(given or ()) - 1}].content")
        return said(history[:-1]), last.parts
    history = said(history)
    if not history_in(history) and not may_be_empty:
        raise InvalidRequest("The input is empty.", param="input")
    return history, ()


def repeated(output: Iterable[OutputItem]) -> tuple[History, ...]:
    """Return the history that our own output items become when a client sends them back."""
    return history_in(history_of(msgspec.json.decode(msgspec.json.encode(list(output))), "output"))


def history_of(given: list[dict[str, Any]], place: str) -> tuple[Given, ...]:
    """Convert the items at `place`. Raises InvalidRequest or UnsupportedParameter."""
    reader = _Reader()
    found = tuple(found for index, item in enumerate(given) for found in reader.read(item, f"{place}[{index}]"))
    reader.check_approvals()
    return found


class _Reader:
    """Reads the items of one conversation, in order."""

    def __init__(self) -> None:
        self._ids = CallIds()
        self._questions: dict[str, hosted.McpCallInput] = {}  # approval requests, by id
        self._approved: dict[str, str] = {}  # id of an approval request -> place of its approval, while its call has not been seen

    def read(self, item: dict[str, Any], place: str) -> list[Given]:
        kind = item.get("type") or "message"
        if not isinstance(kind, str):
            raise InvalidRequest("The type of an item must be a string.", param=f"{place}.type")
        if kind not in _READERS:
            raise UnsupportedParameter(f"Input items of type {kind[:64]!r} are not supported.", param=f"{place}.type")
        return _READERS[kind](self, item, place)

    def message(self, item: dict[str, Any], place: str) -> list[Given]:
        message = body.convert(item, MessageItem, place)
        return [Message(_ROLES[message.role], parts(message.content, f"{place}.content"), message.phase)]

    def function_call(self, item: dict[str, Any], place: str) -> list[Given]:
        call = body.convert(item, FunctionCall, place)
        return [Called(self._ids.called(call.call_id), call.name, call.arguments, call.namespace)]

    def custom_call(self, item: dict[str, Any], place: str) -> list[Given]:
        call = body.convert(item, CustomToolCall, place)
        return [Called(self._ids.called(call.call_id), call.name, freeform.argument(call.input), call.namespace)]

    def call_output(self, item: dict[str, Any], place: str) -> list[Given]:
        output = body.convert(item, CallOutput, place)
        return self._answered(output.call_id, parts(output.output, f"{place}.output"), place)

    def hosted_output(self, item: dict[str, Any], place: str) -> list[Given]:
        return self._answered(*hosted.output(item, place), place)

    def _answered(self, given: str | None, given_parts: tuple[Part, ...], place: str) -> list[Given]:
        name = self._ids.answered(given) or given  # otherwise the call is in the continued conversation, or nowhere
        if not name:
            raise InvalidRequest("No tool call found for this output, which has no call_id.", param=f"{place}.call_id")
        return [Answered(name, given_parts)]

    def reasoning(self, item: dict[str, Any], place: str) -> list[Given]:
        thought = body.convert(item, ReasoningInput, place)
        summary = tuple(part.text for part in thought.summary or ())
        return (
            [Reasoned(item_ids.providers(thought.id or ""), summary, thought.encrypted_content)]
            if thought.encrypted_content
            else []
        )

    def mcp_call(self, item: dict[str, Any], place: str) -> list[Given]:
        self._approved.pop(str(item.get("approval_request_id")), None)
        return [*hosted.mcp_call(body.convert(item, hosted.McpCallInput, place), self._ids)]

    def approval_request(self, item: dict[str, Any], place: str) -> list[Given]:
        question = body.convert(item, hosted.McpCallInput, place)
        self._questions[question.id or ""] = question
        return []

    def approval_response(self, item: dict[str, Any], place: str) -> list[Given]:
        """Read an approval: a yes is represented by the call that follows it, a no by a refused call."""
        answer = body.convert(item, McpApproval, place)
        if answer.approve:
            self._approved[answer.approval_request_id] = place
            return []
        question = self._questions.get(answer.approval_request_id)
        told = Text(f"The user did not approve this call. {answer.reason or ''}".strip())
        return [*hosted.mcp_pair(self._ids, question, told)] if question else []

    def check_approvals(self) -> None:
        """Raise UnsupportedParameter for an approval without a call: it asks this server to call the MCP server."""
        for place in self._approved.values():
            raise UnsupportedParameter(
                "This server calls no MCP server for a request, so it cannot go on from an approval.", param=place
            )

    def hosted_call(self, item: dict[str, Any], place: str) -> list[Given]:
        return [*hosted.call(str(item["type"]), item, place, self._ids)]

    def file_search(self, item: dict[str, Any], place: str) -> list[Given]:
        return [*hosted.file_search(item, place, self._ids)]

    def code_interpreter(self, item: dict[str, Any], place: str) -> list[Given]:
        return [*hosted.code_interpreter(item, place, self._ids)]

    def image_generation(self, item: dict[str, Any], place: str) -> list[Given]:
        return [*hosted.image_generation(item, place, self._ids)]

    def more_tools(self, item: dict[str, Any], place: str) -> list[Given]:
        return updates.more_tools(item, place)

    def configuration(self, item: dict[str, Any], place: str) -> list[Given]:
        return updates.configuration(item, place)

    def compaction(self, item: dict[str, Any], place: str) -> list[Given]:
        return [compaction.as_message(item, place)]

    def trigger(self, _item: dict[str, Any], place: str) -> list[Given]:
        raise InvalidRequest("A compaction_trigger must be the last item of the input.", param=place)

    def record(self, _item: dict[str, Any], _place: str) -> list[Given]:
        return []

    def reference(self, item: dict[str, Any], _place: str) -> list[Given]:
        raise references.not_found(item.get("id"))


_READERS: dict[str, Callable[[_Reader, dict[str, Any], str], list[Given]]] = {
    "message": _Reader.message,
    "function_call": _Reader.function_call,
    "custom_tool_call": _Reader.custom_call,
    "function_call_output": _Reader.call_output,
    "custom_tool_call_output": _Reader.call_output,
    "reasoning": _Reader.reasoning,
    "mcp_call": _Reader.mcp_call,
    "mcp_approval_request": _Reader.approval_request,
    "mcp_approval_response": _Reader.approval_response,
    "file_search_call": _Reader.file_search,
    "code_interpreter_call": _Reader.code_interpreter,
    "image_generation_call": _Reader.image_generation,
    "additional_tools": _Reader.more_tools,
    "tool_search_output": _Reader.more_tools,
    "configuration_update": _Reader.configuration,
    "compaction": _Reader.compaction,
    compaction.TRIGGER: _Reader.trigger,
    "item_reference": _Reader.reference,
    **dict.fromkeys(hosted.CALLS, _Reader.hosted_call),
    **dict.fromkeys(hosted.OUTPUTS, _Reader.hosted_output),
    **dict.fromkeys(hosted.RECORDS, _Reader.record),
}
KINDS = frozenset(_READERS)


def check_calls(history: Iterable[Given]) -> None:
    """Check that every call of a client's tool has an output, and every output a call. Raises InvalidRequest."""
    called: set[str] = set()
    answered: set[str] = set()
    for item in history:
        match item:
            case Called(call_id=call_id) | Verbatim(calls=str(call_id)):
                called.add(call_id)
            case Answered(call_id=call_id) if call_id not in called:
                raise InvalidRequest(f"No tool call found for function call output with call_id {call_id[:140]}.", param="input")
            case Answered(call_id=call_id):
                answered.add(call_id)
    if unanswered := called - answered:
        raise InvalidRequest(f"No tool output found for function call {min(unanswered)[:140]}.", param="input")
