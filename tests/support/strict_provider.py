"""What OpenAI's API refuses of a request, so that no test passes on what only a lenient provider takes.

The members of the body, of its items and of its tools, and their types, are those of the official SDK; the bounds are those of
OpenAI's published schema and its error messages: ids of calls, names, a call without its output, an output without its call,
ids twice.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from codex_proxy.demo.steps import ModelRequest
from tests.support.published_types import Published

Json = dict[str, Any]  # Any: any JSON

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_LONGEST_CALL_ID = 64  # characters
_PARTS = {"user": "input_", "developer": "input_", "system": "input_", "assistant": "output_"}

# Codex itself sends these to OpenAI, which the SDK does not know.
_CODEX_OWN = frozenset(
    (
        "id",  # of messages that are not the model's, since 0.163.0
        "client_metadata",  # of the body: ids of the installation, the session and the turn
        "search_content_types",  # of the tool web_search: whether images are searched for
        "internal_chat_message_metadata_passthrough",  # of an item: the turn that it is of
    )
)
# Codex leaves these out of items and parts, towards OpenAI as well.
_NOT_NEEDED = frozenset(("id", "status", "annotations", "detail"))
_NULLABLE = frozenset(("content",))  # of reasoning, as Codex sends it; a message must have some, see below
_BODY = Published(ResponseCreateParamsStreaming, known=_CODEX_OWN, not_needed=_NOT_NEEDED, nullable=_NULLABLE)


def problem(request: ModelRequest) -> str | None:
    """What is wrong with a request, None when nothing is."""
    return next(_BODY.problems(request.body), None) or next(_problems(request), None)


def _problems(request: ModelRequest) -> Iterator[str]:
    for index, item in enumerate(request.input):
        yield from (f"input[{index}]: {what}" for what in _item(item))
    yield from _calls(request.input)
    named = Counter(str(item["id"]) for item in request.input if item.get("id"))
    yield from (f"Duplicate item found with id {name}." for name, times in named.items() if times > 1)
    for tool in request.tools:
        yield from _tool(tool)


def _item(item: Json) -> Iterator[str]:
    if item.get("id") == "":
        yield "an empty id"
    if "name" in item and not _NAME.fullmatch(item["name"]):
        yield f"the name {item['name']!r}"
    if "call_id" in item and not 0 < len(item["call_id"] or "") <= _LONGEST_CALL_ID:
        yield f"the call_id {item['call_id']!r}"
    if item.get("type", "message") == "message":
        yield from _content(item)


def _content(item: Json) -> Iterator[str]:
    if not item["content"]:
        yield "empty content"
    if isinstance(item["content"], list):
        begins = _PARTS[item["role"]]
        parts = [str(part["type"]) for part in item["content"]]
        yield from (f"a part {part!r} of the {item['role']}'s" for part in parts if not part.startswith((begins, "refusal")))


def _calls(items: list[Json]) -> Iterator[str]:
    """A call and its output have one id, which no other call has."""
    called: Counter[str] = Counter()
    answered: set[str] = set()
    for item in items:
        kind = str(item.get("type"))
        if kind.endswith("_call") and item.get("call_id"):
            called[item["call_id"]] += 1
        elif kind.endswith("_call_output"):
            if item["call_id"] not in called:
                yield f"No tool call found for function call output with call_id {item['call_id']}."
            answered.add(item["call_id"])
    yield from (f"No tool output found for function call {name}." for name in called if name not in answered)
    yield from (f"a call_id twice: {name}" for name, times in called.items() if times > 1)


def _tool(tool: Json) -> Iterator[str]:
    if "name" in tool and not _NAME.fullmatch(tool["name"]):
        yield f"the name of a tool {tool['name']!r}"
    for inner in tool.get("tools", ()):
        yield from _tool(inner)
