"""LangChain's own standard tests of a chat model (the package langchain-tests), on both routes.

They have a fixture named `model` of their own, and most of them are sync: so the server runs in a thread, once for each
class. All of them pass, but for what a property of `_Standard` says that we do not have.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import openai
import pytest
from anyio.from_thread import start_blocking_portal
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from codex_proxy import settings as settings_module
from codex_proxy.codex import command
from codex_proxy.demo.home import prepared
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words
from codex_proxy.web import serving
from tests.conftest import START_LIMIT, TURN_LIMIT
from tests.support import strict_provider
from tests.support.exchange import COUNT, HELLO, REASONING

pytestmark = [  # of the SDK about its own objects, and of LangChain about the test's schema: neither is about us
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
]
MODEL = "gpt-5.5"
_JOKE = {"setup": "Why do cats never fall?", "punchline": "They always land on their feet."}
_CUSTOMER = re.compile(r"Create a customer named '(.*?)'")
_ARGUMENTS: dict[str, dict[str, object]] = {  # of the tools that the tests offer, as their prompts want them
    "magic_function": {"input": 3},
    "magic_function_no_args": {},
    "greeting_generator": {"answer_style": "Pirate"},
    "my_adder_tool": {"a": 3, "b": 4},
    "get_weather": {"location": "San Francisco, CA"},
    "color_picker": {"fav_color": "purple"},
    "Joke": dict(_JOKE),
}
_Details = list[Literal["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]]


async def play_along(request: ModelRequest) -> AsyncIterator[Step]:
    """The script: call the first tool that is offered, tell a joke as JSON, or say hello."""
    prompt = request.prompt
    customer = _CUSTOMER.search(prompt)
    arguments = _ARGUMENTS | ({"unicode_customer": {"customer_name": customer[1], "description": "new"}} if customer else {})
    name = next((name for name in request.tool_names if name in arguments), None)
    if name is not None and not request.outputs:
        yield Call(name, json.dumps(arguments[name], ensure_ascii=False), f"call_{len(request.input)}")
    elif "joke" in prompt:
        yield Say(words(json.dumps(_JOKE | ({"punchline": None} if "no punchline" in prompt else {}))))
    else:
        yield Think((REASONING,))
        yield Say(words(HELLO))
    yield COUNT


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """A server whose model plays along; its base_url."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    usual = {"PATH": path, "LANG": "C.UTF-8", "PROXY_PORT": "0", "RATE_LIMIT_PER_MINUTE": "0"}
    async with ModelServer.started(play_along) as scripted:
        scripted.check = strict_provider.problem
        with prepared(scripted.base_url) as home:
            settings, _ = settings_module.load(usual | home.environment(), home.root)
            async with serving.listening(settings, command.find(settings)) as (server, address):
                async with asyncio.timeout(START_LIMIT):
                    await server.supervisors.wait_ready()
                yield f"{address}/v1"


@pytest.fixture(scope="class")
def base_url() -> Iterator[str]:
    """Of a server in a thread with a loop of its own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(served()) as url:
        yield url


class _Standard(ChatModelIntegrationTests):
    """What both routes have in common."""

    use_responses_api: bool

    @pytest.fixture(autouse=True)
    async def connected(self, base_url: str) -> AsyncIterator[None]:
        """Connection pools of the test's own: those that ChatOpenAI keeps by default are never closed."""
        with openai.DefaultHttpxClient(timeout=TURN_LIMIT) as http:
            async with openai.DefaultAsyncHttpxClient(timeout=TURN_LIMIT) as http_async:
                self._connection = {"base_url": base_url, "http_client": http, "http_async_client": http_async}
                yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:  # Any: as the base class has it
        usual = {"model": MODEL, "api_key": "any", "max_retries": 0, "stream_usage": True}
        return usual | self._connection | {"use_responses_api": self.use_responses_api}

    @property
    def model_override_value(self) -> str:
        return f"{MODEL} high"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    # Images are served, also in a tool's result (test_langchain.py, test_openai_sdk_tools.py): but these tests fetch
    # theirs from the internet, and so do those of PDF and audio, which are not served.
    @property
    def supports_image_inputs(self) -> bool:
        return False

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], _Details]:
        return {"invoke": ["reasoning_output", "cache_read_input"], "stream": ["reasoning_output", "cache_read_input"]}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._asked(stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self._asked(stream=stream)

    def _asked(self, *, stream: bool) -> AIMessage:
        chat = self.chat_model_class(**self.chat_model_params)
        if not stream:
            return chat.invoke("Hello")
        chunks = list(chat.stream("Hello"))
        whole = sum(chunks[1:], chunks[0])
        assert isinstance(whole, AIMessageChunk)
        return whole


@pytest.mark.xdist_group("langchain-standard-chat")
class TestChatCompletions(_Standard):
    """POST /v1/chat/completions."""

    use_responses_api = False


@pytest.mark.xdist_group("langchain-standard-responses")
class TestResponses(_Standard):
    """POST /v1/responses."""

    use_responses_api = True
