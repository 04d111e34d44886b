"""What every stream of the Responses API and every stream of chat chunks must be, whatever the turn was. Read as a client
reads it: from JSON."""

from typing import Any

import msgspec

Json = dict[str, Any]  # Any: any JSON

_ENDS = {"response.completed": {"completed"}, "response.incomplete": {"incomplete", "cancelled"}, "response.failed": {"failed"}}
_DELTAS = {  # the events of a text that grows: their common name -> the member that has the whole text in the end
    "output_text": "text",
    "reasoning_text": "text",
    "reasoning_summary_text": "text",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "input",
    "mcp_call_arguments": "arguments",
}


def as_json(events: list[Any]) -> list[Json]:  # Any: structs of either dialect
    return [msgspec.json.decode(msgspec.json.encode(event)) for event in events]


class _Item:
    """An item that is open: the texts that its deltas made, and the parts that have been opened and closed."""

    def __init__(self, begun: Json) -> None:
        self.begun = begun
        self.grown: dict[tuple[str, int], str] = {}
        self.whole: dict[tuple[str, int], str] = {}
        self.open_parts: dict[tuple[str, int], Json] = {}
        self.parts: dict[str, list[Json]] = {"content": [], "summary": []}

    def grow(self, text: str, event: Json) -> None:
        key = _place(text, event)
        assert key not in self.whole, "a text goes on after its end"
        self.grown[key] = self.grown.get(key, "") + event["delta"]

    def end_text(self, text: str, event: Json) -> None:
        key = _place(text, event)
        assert key not in self.whole, "a text ends twice"
        self.whole[key] = event[_DELTAS[text]]
        assert self.grown.get(key, "") == self.whole[key], "a text is not its deltas"

    def open_part(self, group: str, index: int, part: Json) -> None:
        assert all(other != group for other, _ in self.open_parts), "a part begins in another one"
        assert index == len(self.parts[group]), "an index of a part is left out"
        assert part["text"] == ""
        self.open_parts[group, index] = part

    def close_part(self, group: str, index: int, part: Json) -> None:
        assert self.open_parts.pop((group, index))["type"] == part["type"]
        assert part["text"] in self.whole.values()
        self.parts[group].append(part)

    def close(self, done: Json) -> None:
        assert (done["id"], done["type"]) == (self.begun["id"], self.begun["type"]), "an item becomes another one"
        assert not self.open_parts, "a part is left open"
        assert set(self.grown) <= set(self.whole), "a text is left open"
        for group, parts in self.parts.items():
            assert done.get(group, []) == parts, "an item does not have the parts that were told"
        for (text, _), whole in self.whole.items():
            if _DELTAS[text] != "text":
                assert done[_DELTAS[text]] == whole, "an item does not have the arguments that were told"


def _place(text: str, event: Json) -> tuple[str, int]:
    index = next((event[name] for name in ("content_index", "summary_index") if name in event), 0)
    return text, index


def check_stream(events: list[Json]) -> None:
    """Raises AssertionError for a Responses stream that is not well-formed."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    *between, last = events[2:]
    open_items: dict[int, _Item] = {}
    done: list[Json] = []
    for event in between:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert event["output_index"] == len(open_items) + len(done), "an index of an item is left out or used twice"
            open_items[event["output_index"]] = _Item(event["item"])
            assert event["item"].get("status", "in_progress") == "in_progress"
        elif kind == "output_item.done":
            open_items.pop(event["output_index"]).close(event["item"])
            done.append(event)
        else:
            item = open_items[event["output_index"]]
            assert event["item_id"] == item.begun["id"]
            _check_of_item(item, kind, event)
    assert open_items == {}, "an item is left open"
    _check_end(last, events[0]["response"], [event["item"] for event in sorted(done, key=lambda event: int(event["output_index"]))])


def _check_of_item(item: _Item, kind: str, event: Json) -> None:
    name, _, step = kind.rpartition(".")
    match name, step:
        case "content_part", "added":
            item.open_part("content", event["content_index"], event["part"])
        case "content_part", "done":
            item.close_part("content", event["content_index"], event["part"])
        case "reasoning_summary_part", "added":
            item.open_part("summary", event["summary_index"], event["part"])
        case "reasoning_summary_part", "done":
            item.close_part("summary", event["summary_index"], event["part"])
        case _, "delta":
            assert event["delta"] != "" or name != "output_text", "an empty delta"
            item.grow(name, event)
        case _, "done":
            item.end_text(name, event)
        case (("mcp_call" | "web_search_call"), _):
            assert item.begun["type"] == name
        case _:
            raise AssertionError(f"an unknown event: {kind}")


def _check_end(last: Json, begun: Json, items: list[Json]) -> None:
    response = last["response"]
    assert response["status"] in _ENDS[last["type"]]
    assert response["output"] == items, "the response is not the items that were told"
    assert (response["error"] is not None) == (response["status"] == "failed")
    assert (response["incomplete_details"] is not None) == (response["status"] == "incomplete")
    assert (response["completed_at"] is not None) == (response["status"] == "completed")
    changed = {"status", "output", "error", "incomplete_details", "completed_at", "usage"}
    assert {name: value for name, value in response.items() if name not in changed} == {
        name: value for name, value in begun.items() if name not in changed
    }
    assert not (response["status"] == "completed" and any(item.get("status") == "in_progress" for item in items))


def check_chunks(chunks: list[Json]) -> None:
    """Raises AssertionError for chunks of a turn that did not fail, which are not a well-formed stream."""
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    reasons = [choice["finish_reason"] for choice in choices]
    assert reasons[:-1] == [None] * (len(choices) - 1)
    assert reasons[-1] in ("stop", "length", "tool_calls")
    assert choices[-1]["delta"] == {}
    calls = [part for choice in choices for part in choice["delta"].get("tool_calls", [])]
    heads = [part["index"] for part in calls if "id" in part]
    assert heads == list(range(len(heads)))


def gathered(chunks: list[Json]) -> Json:
    """The message that the chunks add up to, as a client adds them up: content, reasoning_content, tool_calls."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    calls: dict[int, Json] = {}
    for part in (part for delta in deltas for part in delta.get("tool_calls", [])):
        function = calls.setdefault(part["index"], {"id": part.get("id"), "name": "", "arguments": ""})
        function["name"] += part["function"].get("name", "")
        function["arguments"] += part["function"].get("arguments", "")
    return {
        "content": "".join(delta.get("content", "") for delta in deltas),
        "reasoning_content": "".join(delta.get("reasoning_content", "") for delta in deltas),
        "tool_calls": [calls[index] for index in sorted(calls)],
    }
