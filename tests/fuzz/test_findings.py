"""What the fuzz run has found."""

from typing import Any

import pytest

from codex_proxy.demo.model import ModelServer
from tests.conftest import Proxy
from tests.support.refusals import post, refusal

_WRONG_SCHEMAS: tuple[dict[str, Any], ...] = (  # Any: JSON
    {"type": "object", "properties": {}, "required": [1]},
    {"type": "object", "additionalProperties": "model"},
    {"type": "object", "properties": {"a": {"enum": 5}}},
)


@pytest.mark.parametrize("schema", _WRONG_SCHEMAS, ids=str)
async def test_a_tool_schema_that_codex_does_not_take_is_the_clients_mistake(
    proxy: Proxy, model: ModelServer, schema: dict[str, Any]
) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": schema}}
    answer = await post(proxy, {"messages": [{"role": "user", "content": "hi"}], "tools": [tool]})
    error = await refusal(answer)
    assert (answer.status, error.param) == (400, "tools[0]")
    assert "for look: invalid type" in error.message or "for look: data did not match" in error.message
    assert model.calls == 0
