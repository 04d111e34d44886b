"""A conversation that has become too long for its model, so that Codex has the model sum it up, on the real CLI."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from codex_proxy.codex.command import Command
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Count, ModelRequest, Step
from tests.conftest import Proxy
from tests.live.test_conversation_faults import kill_workers
from tests.live.test_conversations import CALLS, SCRIPTS, one_worker, reasoned, shown_to, told_once

__all__ = ["one_worker"]  # a fixture

_MUCH = 3_900_000  # tokens, more than any model takes
_SUMMARY, _ASKED_FOR = "Another language model started", "CONTEXT CHECKPOINT"  # Codex's own words


async def _counted(request: ModelRequest) -> AsyncIterator[Step]:
    yield Count(input=_MUCH if request.prompt.startswith("Much") else 10)
    async for step in reasoned(request):
        yield step


@pytest.mark.usefixtures("one_worker")
async def test_a_conversation_is_compacted_once_and_what_is_known_of_it_stays_whole(
    proxy: Proxy, model: ModelServer, cli: Command
) -> None:
    """In a thread that was resumed, and in one that is live; its summary is not part of the conversation."""
    model.script = _counted
    previous: str | None = None

    async def tokens(text: str, name: str = SCRIPTS) -> int:
        nonlocal previous
        body = {"model": name, "input": text, "previous_response_id": previous}
        answer: dict[str, Any] = await (await proxy.http.post(f"{proxy.base_url}/responses", json=body)).json()
        assert answer["status"] == "completed", answer
        assert answer["output"][-1]["content"][0]["text"] == f"An answer to: {text}"
        assert _ASKED_FOR not in str(answer)
        previous = answer["id"]
        count: int = answer["usage"]["total_tokens"]
        return count

    assert [await tokens(text) for text in ("Please run it.", "Much.")] == [30, _MUCH + 5]
    await kill_workers()
    resumed = cli.version >= (0, 163, 0)  # a thread of 0.147.0 is rebuilt, and has no count of its tokens yet
    assert [await tokens(text) for text in ("And then?", "Well?")] == [30 if resumed else 15, 15]
    assert str(model.requests[-1].input).count(_SUMMARY) == resumed
    assert [await tokens(text) for text in ("Much more.", "And now?", "At last?")] == [_MUCH + 5, 30, 15]
    assert str(model.requests[-1].input).count(_SUMMARY) == 1
    await tokens("Really?", CALLS)
    said = ["Please run it.", "Much.", "And then?", "Well?", "Much more.", "And now?", "At last?", "Really?"]
    assert [text for text in reversed(model.requests[-1].said_by_user) if text in said] == said
    assert [item["role"] for item in model.requests[-1].input if item["type"] == "message"].count("assistant") == len(said) - 1
    assert "hidden work" in shown_to(model.requests[-1])
    assert _ASKED_FOR not in str(model.requests[-1].input)
    assert told_once(model.requests)
