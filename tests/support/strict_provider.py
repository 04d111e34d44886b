"""What OpenAI's API refuses of a request, so that no test passes on what only a lenient provider takes.

Types and members of items are those of the official SDK; the bounds are those of OpenAI's published schema and its error
messages: ids of calls, names, a call without its output, an output without its call, ids twice.
"""

import re
import typing
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from openai.types.responses import ResponseInputItemParam

from codex_proxy.demo.steps import ModelRequest

Json = dict[str, Any]  # Any: any JSON

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_LONGEST_CALL_ID = 64  # characters
_CODEX_OWN = frozenset(("internal_chat_message_metadata_passthrough",))  # which it takes off for OpenAI
_PARTS = {"user": "input_", "developer": "input_", "system": "input_", "assistant": "output_"}


def _members() -> dict[str, frozenset[str]]:
    """By the kind of an item: its members in the SDK."""
    found: dict[str, frozenset[str]] = {}
    for member in get_args(ResponseInputItemParam):
        hints = get_type_hints(member)
        literals = [one for one in (hints["type"], *get_args(hints["type"])) if typing.get_origin(one) is typing.Literal]
        for kind in (kind for literal in literals for kind in get_args(literal)):
            found[kind] = found.get(kind, frozenset()) | hints.keys()
    return found


_MEMBERS = _members()


def problem(request: ModelRequest) -> str | None:
    """What is wrong with a request, None when nothing is."""
    return next(_problems(request), None)


def _problems(request: ModelRequest) -> Iterator[str]:
    for index, item in enumerate(request.input):
        yield from (f"input[{index}]: {what}" for what in _item(item))
    yield from _calls(request.input)
    named = Counter(str(item["id"]) for item in request.input if item.get("id"))
    yield from (f"Duplicate item found with id {name}." for name, times in named.items() if times > 1)
    for tool in request.body.get("tools", ()):
        yield from _tool(tool)


def _item(item: Json) -> Iterator[str]:
    kind = item.get("type", "message")
    if kind not in _MEMBERS:
        yield f"unknown type {kind!r}"
        return
    yield from (f"unknown member {name!r} of {kind}" for name in item.keys() - _MEMBERS[kind] - _CODEX_OWN)
    if item.get("id") == "":
        yield "an empty id"
    if "name" in item and not _NAME.fullmatch(item["name"]):
        yield f"the name {item['name']!r}"
    if "call_id" in item and not 0 < len(item["call_id"] or "") <= _LONGEST_CALL_ID:
        yield f"the call_id {item['call_id']!r}"
    if kind == "message":
        yield from _content(item)


def _content(item: Json) -> Iterator[str]:
    if not item["content"]:
        yield "empty content"
    begins = _PARTS.get(item["role"])
    if begins is None:
        yield f"unknown role {item['role']!r}"
    elif isinstance(item["content"], list):
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
