"""What of a request counts as tokens, and how many it is."""

import json
from typing import Any

import pytest

from codex_proxy.dialects import tokens
from codex_proxy.dialects.responses import request
from codex_proxy.history import Verbatim
from tests.support.exchange import PNG

_BARE = 3 + 3  # around one message, and before the answer


def counted(**members: Any) -> int:  # Any: the request's members
    return tokens.count(request.decode(json.dumps(members).encode()).continuing(()).wish)


@pytest.mark.parametrize(
    ("text", "number"),
    [  # as tiktoken has them, o200k_base
        ("hello world", 2),
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("日本語のテキスト", 6),
        ("<|endoftext|>", 7),
    ],
)
def test_texts_are_counted_as_the_models_count_them(text: str, number: int) -> None:
    assert counted(input=text) == number + 1 + _BARE


def test_everything_that_the_model_reads_counts() -> None:
    base = counted(input="hello world")
    tool = {"type": "function", "name": "weather", "description": "The weather", "parameters": {"type": "object"}}
    schema: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    strict = {"format": {"type": "json_schema", "name": "a", "strict": True, "schema": schema}}
    more = [
        counted(input="hello world", instructions="Be brief."),
        counted(input="hello world", tools=[tool]),
        counted(input="hello world", text=strict),
        counted(input=[{"role": "user", "content": "hello"}, {"role": "user", "content": "hello world"}]),
    ]
    assert all(number > base + 3 for number in more)


def test_a_result_and_its_call_count_and_encrypted_reasoning_does_not() -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"place":"here"}'}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" * 5000}
    assert counted(input=[call, output]) == counted(input=[thought, call, output]) == 17


def test_of_a_recorded_item_only_what_is_read_counts() -> None:
    item = {"type": "message", "id": "msg_1" * 50, "role": "assistant", "content": [{"type": "output_text", "text": "hello world"}]}
    wish = request.decode(b'{"input": "hello world"}').continuing((Verbatim(json.dumps(item)),)).wish
    assert tokens.count(wish) == counted(input="hello world") + 3 + 1 + 2
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hello"}], "encrypted_content": "x" * 500}
    wish = request.decode(b'{"input": "hello world"}').continuing((Verbatim(json.dumps(thought)),)).wish
    assert tokens.count(wish) == counted(input="hello world")


def test_images_count_by_their_tiles() -> None:
    def image(**more: str) -> int:
        content = [{"type": "input_image", "image_url": PNG, **more}, {"type": "input_text", "text": "hello world"}]
        return counted(input=[{"role": "user", "content": content}]) - counted(input="hello world")

    assert image() == 70 + 140
