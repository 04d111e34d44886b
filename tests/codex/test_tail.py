"""The lines that a resumed thread writes, as the notifications that it does not send."""

from pathlib import Path

import msgspec

from codex_proxy.codex.tail import InOrder, Tail

_USED = {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3, "reasoning_output_tokens": 1, "total_tokens": 13}
_TOLD = {
    "inputTokens": 10,
    "cachedInputTokens": 4,
    "outputTokens": 3,
    "reasoningOutputTokens": 1,
    "cacheWriteInputTokens": 0,
}


def test_the_end_of_a_model_response_has_its_tokens(tmp_path: Path) -> None:
    """0.163.0 and newer; where the provider has told none, neither does it."""
    rollout = tmp_path / "rollout.jsonl"
    payloads: tuple[dict[str, object], ...] = ({"usage": _USED, "turn_id": "t1"}, {"usage": None}, {})
    lines = [msgspec.json.encode({"ordinal": 1, "type": "token_usage_record", "payload": payload}) for payload in payloads]
    rollout.write_bytes(b"\n".join(lines) + b'\n{"type":"token_us')
    told = [(method, msgspec.json.decode(params)) for method, params in Tail(rollout, 0).read("t1")]
    assert told == [("rawResponse/completed", {"usage": used}) for used in (_TOLD, None, None)]


def test_an_item_that_is_read_ahead_of_its_deltas_waits_for_its_completion() -> None:
    """Reasoning of a resumed thread was told twice: as completed, and then as started."""
    items = ({"type": "reasoning", "id": "rs_1"}, {"type": "message", "role": "assistant", "id": "msg_1"})
    call = ("rawResponseItem/completed", msgspec.Raw(b'{"item":{"type":"function_call","id":"fc_1"}}'))
    reasoning, message = (("rawResponseItem/completed", msgspec.Raw(msgspec.json.encode({"item": item}))) for item in items)
    end = ("rawResponse/completed", msgspec.Raw(b"{}"))
    written = InOrder()
    for news in (call, reasoning, message, end):
        written.add(*news)
    assert written.due(everything=False) == [call]
    written.completed("rs_1")
    assert written.due(everything=False) == [reasoning]
    assert written.due(everything=False) == []
    assert written.due(everything=True) == [message, end]
