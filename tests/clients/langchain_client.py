"""LangChain's ChatOpenAI, set up for a test, and the tokens that it reports."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

from tests.conftest import TURN_LIMIT, Proxy
from tests.support.exchange import COUNT

MODEL = "gpt-5.5"


@asynccontextmanager
async def connected(proxy: Proxy, **options: Any) -> AsyncIterator[ChatOpenAI]:  # Any: ChatOpenAI's own options, checked by it
    """ChatOpenAI with a connection pool of its own: the one that it keeps by default is never closed."""
    async with openai.DefaultAsyncHttpxClient(timeout=TURN_LIMIT) as http:
        usual: dict[str, Any] = {"model": MODEL, "api_key": "any", "max_retries": 0}
        yield ChatOpenAI(base_url=proxy.base_url, http_async_client=http, **(usual | options))


def counted(message: AIMessage) -> tuple[int | None, ...]:
    """Input, cached, output, reasoning and total tokens."""
    usage = message.usage_metadata
    assert usage is not None
    cached, reasoning = usage["input_token_details"].get("cache_read"), usage["output_token_details"].get("reasoning")
    return usage["input_tokens"], cached, usage["output_tokens"], reasoning, usage["total_tokens"]


REPORTED = (COUNT.input, COUNT.cached, COUNT.output, COUNT.reasoning, COUNT.input + COUNT.output)
