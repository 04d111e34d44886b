"""Deltas in, exact objects out: the chunks of a stream, and the whole completion that is the same answer."""

from typing import Any

import pytest

from codex_proxy.dialects.chat.answer import Chunks, Completion
from codex_proxy.dialects.chat.deltas import ChatDeltas, Delta, Failure
from codex_proxy.dialects.chat.objects import ChatCompletionChunk
from tests.dialects.well_formed import Json, as_json, check_chunks, gathered
from tests.support import transcripts
from tests.support.transcripts import BROKE_OFF

_HEAD = ("chatcmpl-1", 1, "m")
_CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 7,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_FIRST: Json = {"role": "assistant", "content": ""}
_WELL = [name for name, events in transcripts.ALL.items() if not name.startswith("FAILED")]

# The delta of each chunk, and its finish_reason where it has one.
_SEEN: dict[str, list[Json]] = {
    "PLAIN": [_FIRST, {"content": "Hello "}, {"content": "there."}, {"finish_reason": "stop"}],
    "EMPTY": [_FIRST, {"finish_reason": "stop"}],
    "REASONING": [
        _FIRST,
        {"reasoning_content": "**Looking"},
        {"reasoning_content": " around**"},
        {"reasoning_content": "\n\n**Acting**"},
        {"content": "Done."},
        {"finish_reason": "stop"},
    ],
    "COMMAND_FAILED": [_FIRST, {"reasoning_content": "$ false"}, {"content": "No."}, {"finish_reason": "stop"}],
    "TWO_CALLS": [
        _FIRST,
        {"reasoning_content": "Let me see."},
        {
            "tool_calls": [
                {"index": 0, "id": "call_w", "type": "function", "function": {"name": "get_weather", "arguments": ""}},
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": "Rome"}'}}]},
        {"tool_calls": [{"index": 1, "id": "call_t", "type": "function", "function": {"name": "get_time", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {"finish_reason": "tool_calls"},
    ],
}


@pytest.mark.parametrize("name", _SEEN)
def test_a_transcript_becomes_exactly_these_chunks(name: str) -> None:
    chunks = _chunks(name)
    reasons = [{"finish_reason": seen["finish_reason"]} if "finish_reason" in seen else {} for seen in _SEEN[name]]
    assert chunks == [
        _CHUNK
        | {
            "choices": [
                {
                    "index": 0,
                    "delta": {} if "finish_reason" in seen else seen,
                    "logprobs": None,
                    "finish_reason": reason.get("finish_reason"),
                }
            ]
        }
        for seen, reason in zip(_SEEN[name], reasons, strict=True)
    ]


@pytest.mark.parametrize("name", _WELL)
def test_the_chunks_of_every_transcript_are_a_well_formed_stream(name: str) -> None:
    check_chunks(_chunks(name))


def test_usage_comes_in_a_chunk_of_its_own_and_is_null_before() -> None:
    *before, last = _chunks("PLAIN", include_usage=True)
    assert [chunk["usage"] for chunk in before] == [None] * len(before)
    assert last == _CHUNK | {"choices": [], "usage": _USAGE}
    assert before[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_stream_of_which_codex_told_no_usage_has_no_chunk_for_it() -> None:
    chunks = _chunks("WITHOUT_USAGE", include_usage=True)
    assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)


def test_the_whole_answer_has_every_member() -> None:
    assert _completion("PLAIN") == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "usage": _USAGE,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": "Hello there.", "refusal": None, "annotations": []},
            }
        ],
    }


def test_the_content_is_null_where_there_are_only_calls() -> None:
    message = _completion("TWO_CALLS")["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == (None, "Let me see.")
    assert message["tool_calls"] == [
        {"id": "call_w", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}},
        {"id": "call_t", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
    ]


def test_an_empty_answer_is_an_empty_text() -> None:
    assert _completion("EMPTY")["choices"][0]["message"]["content"] == ""


def test_the_whole_answer_has_no_usage_where_codex_told_none() -> None:
    assert "usage" not in _completion("WITHOUT_USAGE")


@pytest.mark.parametrize("name", _WELL)
def test_the_whole_answer_is_what_the_chunks_add_up_to(name: str) -> None:
    chunks = gathered(_chunks(name))
    (choice,) = _completion(name)["choices"]
    message = choice["message"]
    assert (message["content"] or "", message.get("reasoning_content", "")) == (chunks["content"], chunks["reasoning_content"])
    calls = [{"id": call["id"]} | call["function"] for call in message.get("tool_calls", [])]
    assert calls == chunks["tool_calls"]
    assert choice["finish_reason"] == _chunks(name)[-1]["choices"][0]["finish_reason"]


def test_a_failure_is_kept_for_the_caller() -> None:
    completion = Completion(*_HEAD)
    for delta in _deltas("FAILED_IN_THE_MIDDLE"):
        completion.add(delta)
    assert completion.error is BROKE_OFF


def _deltas(name: str) -> list[Delta]:
    deltas = ChatDeltas(stop=(), max_tokens=None, show_reasoning=True, show_activity=True)
    return [delta for event in transcripts.ALL[name] for delta in deltas.feed(event)]


def _chunks(name: str, *, include_usage: bool = False) -> list[Json]:
    chunks = Chunks(*_HEAD, include_usage=include_usage)
    told: list[ChatCompletionChunk] = [chunks.first()]
    for delta in _deltas(name):
        assert not isinstance(delta, Failure)
        told += chunks.encode(delta)
    return as_json(told)


def _completion(name: str) -> dict[str, Any]:  # Any: any JSON
    completion = Completion(*_HEAD)
    for delta in _deltas(name):
        completion.add(delta)
    return as_json([completion.body()])[0]
