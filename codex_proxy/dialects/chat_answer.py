"""Deltas -> the bodies of the chat completions API: chunks of a stream, or one whole completion.

Shapes: OpenAI API reference, "The chat completion object" and "The chat completion chunk object", and reasoning_content
as chat UIs and gateways have it.
"""

from typing import Any, assert_never

from codex_proxy.dialects.chat_deltas import Content, Delta, Failure, Finish, Reasoning
from codex_proxy.errors import ProxyError
from codex_proxy.turns import Usage


class Chunks:
    """The chunks of one stream; `encode` gives those of one delta. A Failure is the caller's: it has no chunk."""

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        self._head = {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._include_usage = include_usage

    def first(self) -> dict[str, Any]:
        """The chunk with the role, before all others."""
        return self._chunk({"role": "assistant", "content": ""})

    def encode(self, delta: Content | Reasoning | Finish) -> list[dict[str, Any]]:
        match delta:
            case Content():
                return [self._chunk({"content": delta.text})]
            case Reasoning():
                return [self._chunk({"reasoning_content": delta.text})]
            case Finish():
                last = self._chunk({}, delta.reason)
                if not self._include_usage or delta.usage is None:
                    return [last]
                return [last, self._head | {"choices": [], "system_fingerprint": None, "usage": usage_body(delta.usage)}]
            case _:
                assert_never(delta)

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._include_usage else {}
        return self._head | {"system_fingerprint": None, "choices": [choice]} | usage


class Completion:
    """One whole answer, put together from its deltas."""

    def __init__(self, completion_id: str, created: int, model: str) -> None:
        self._head = {"id": completion_id, "object": "chat.completion", "created": created, "model": model}
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._finish = Finish("stop", None)
        self.error: ProxyError | None = None

    def add(self, delta: Delta) -> None:
        match delta:
            case Content():
                self._content.append(delta.text)
            case Reasoning():
                self._reasoning.append(delta.text)
            case Finish():
                self._finish = delta
            case Failure():
                self.error = delta.error
            case _:
                assert_never(delta)

    def body(self) -> dict[str, Any]:
        """The completion object; for a turn that did not fail."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._content), "refusal": None, "annotations": []}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish.reason}
        body = self._head | {"system_fingerprint": None, "choices": [choice]}
        if self._finish.usage is not None:
            body["usage"] = usage_body(self._finish.usage)
        return body


def usage_body(usage: Usage) -> dict[str, Any]:
    """The usage object."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
