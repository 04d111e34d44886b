"""The lines that a resumed thread writes, as the notifications that it does not send."""

from pathlib import Path

import msgspec

from codex_proxy.codex.tail import Tail

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
