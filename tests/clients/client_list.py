"""The clients that `scripts/clients` tries: what each is asked, and what its answer has to have in it."""

from pathlib import Path

from tests.clients.other_clients import CHAT, KEY, WEATHER, OtherClient

_DEMO = "codex-proxy demo"  # in what the demo's model says
_ASKED = "Please use get_weather for Rome."

_TOOL = f'''
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "{WEATHER}"
'''
_OPENAI = 'import os\nURL, KEY, MODEL = os.environ["BASE_URL"], "unused", os.environ["MODEL"]\n'

CLIENTS = (
    OtherClient(
        "llm",
        "pip",
        ("llm",),
        "a streamed answer with a function of its own",
        ("llm", "-m", "codex", "--key", KEY, "--functions", _TOOL, _ASKED),
        config=("llm", "llm/extra-openai-models.yaml"),
        environ={"LLM_USER_PATH": "@HOME@/llm"},
    ),
    OtherClient(
        "aider",
        "pip",
        ("aider-chat",),
        "one message of its ask mode",
        (
            "aider",
            "--yes-always",
            "--no-git",
            "--no-check-update",
            "--analytics-disable",
            "--chat-mode",
            "ask",
            "--message",
            "Hello!",
        ),
        says=_DEMO,
        config=("aider", ".aider.conf.yml"),
    ),
    OtherClient(
        "llama-index",
        "pip",
        ("llama-index-llms-openai-like", "llama-index-core"),
        "a call of a function tool",
        program=_OPENAI
        + _TOOL
        + f"""
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
llm = OpenAILike(model=MODEL, api_base=URL, api_key=KEY, is_chat_model=True, is_function_calling_model=True)
print(llm.predict_and_call([FunctionTool.from_defaults(get_weather)], user_msg={_ASKED!r}))
""",
    ),
    OtherClient(
        "autogen",
        "pip",
        ("autogen-agentchat", "autogen-ext[openai]"),
        "an agent with a tool",
        program=_OPENAI
        + _TOOL
        + f"""
import asyncio
from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
info = {{"vision": True, "function_calling": True, "json_output": True, "structured_output": True, "family": "unknown"}}
client = OpenAIChatCompletionClient(model=MODEL, base_url=URL, api_key=KEY, model_info=info)
agent = AssistantAgent("anna", client, tools=[get_weather], reflect_on_tool_use=True)
print(asyncio.run(agent.run(task={_ASKED!r})).messages[-1].content)
""",
    ),
    OtherClient(
        "haystack",
        "pip",
        ("haystack-ai",),
        "an agent with a tool",
        program=_OPENAI
        + _TOOL
        + f"""
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack.utils import Secret
generator = OpenAIChatGenerator(api_key=Secret.from_token(KEY), model=MODEL, api_base_url=URL)
agent = Agent(chat_generator=generator, tools=[create_tool_from_function(get_weather)])
print(agent.run([ChatMessage.from_user({_ASKED!r})])["messages"][-1].text)
""",
        environ={"HAYSTACK_TELEMETRY_ENABLED": "False"},
    ),
    OtherClient(
        "dspy",
        "pip",
        ("dspy",),
        "a call of its language model",
        program=_OPENAI
        + """
import dspy
print(dspy.LM(f"openai/{MODEL}", api_base=URL, api_key=KEY, cache=False)("Hello!")[0])
""",
        says=_DEMO,
    ),
    OtherClient(
        "magentic",
        "pip",
        ("magentic",),
        "an object and a call of a function",
        program=_OPENAI
        + _TOOL
        + f"""
from magentic import OpenaiChatModel, prompt, prompt_chain
from pydantic import BaseModel
class Fruit(BaseModel):
    name: str
    sweet: bool
model = OpenaiChatModel(MODEL, api_key=KEY, base_url=URL)

@prompt("Name a fruit.", model=model)
def fruit() -> Fruit: ...
assert isinstance(fruit(), Fruit)
@prompt_chain({_ASKED!r}, functions=[get_weather], model=model)
def weather() -> str: ...
print(weather())
""",
    ),
    OtherClient(
        "semantic-kernel",
        "pip",
        ("semantic-kernel",),
        "an agent with a plugin",
        program=_OPENAI
        + f"""
import asyncio
from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function
class Weather:
    @kernel_function
    def get_weather(self, city: str) -> str:
        return "{WEATHER}"
service = OpenAIChatCompletion(ai_model_id=MODEL, async_client=AsyncOpenAI(base_url=URL, api_key=KEY))
agent = ChatCompletionAgent(service=service, name="anna", plugins=[Weather()])
print(asyncio.run(agent.get_response({_ASKED.replace("get_weather", "Weather-get_weather")!r})))
""",
    ),
    OtherClient(
        "openai-agents",
        "pip",
        ("openai-agents",),
        "agents with a tool, in a conversations, a compaction and a WebSocket session; an object",
        program=_OPENAI
        + _TOOL
        + f"""
import asyncio
from agents import Agent, OpenAIConversationsSession, OpenAIResponsesCompactionSession, OpenAIResponsesModel, Runner, SQLiteSession
from agents import function_tool, responses_websocket_session
from openai import AsyncOpenAI
from pydantic import BaseModel
QUESTIONS = ("Remember the number 7.", {_ASKED!r}, "Which number?")
TOOLS = [function_tool(get_weather)]

def check(said):
    assert {WEATHER!r} in said[1] and "remember the number 7" in said[2], said

async def conversation():
    client = AsyncOpenAI(base_url=URL, api_key=KEY)
    agent = Agent("anna", model=OpenAIResponsesModel(MODEL, openai_client=client), tools=TOOLS)
    session = OpenAIConversationsSession(openai_client=client)
    check([(await Runner.run(agent, question, session=session)).final_output for question in QUESTIONS])
    assert len(await session.get_items()) == 8

async def compaction():
    client, kept = AsyncOpenAI(base_url=URL, api_key=KEY), SQLiteSession("anna")
    agent = Agent("anna", model=OpenAIResponsesModel(MODEL, openai_client=client), tools=TOOLS)
    session = OpenAIResponsesCompactionSession("a", kept, client=client, model="gpt-5.5", should_trigger_compaction=lambda _: True)
    check([(await Runner.run(agent, question, session=session)).final_output for question in QUESTIONS])
    assert [item["type"] for item in await session.get_items()][-1] == "compaction"

class Person(BaseModel):
    name: str
    age: int | None = None

async def an_object():
    model = OpenAIResponsesModel(MODEL, openai_client=AsyncOpenAI(base_url=URL, api_key=KEY))
    assert isinstance((await Runner.run(Agent("bert", model=model, output_type=Person), "Who?")).final_output, Person)

async def websocket():
    agent, previous, said = Agent("anna", model="gpt-5.5", tools=TOOLS), None, []  # with the effort that it chooses by this name
    async with responses_websocket_session(api_key=KEY, base_url=URL) as session:
        for question in QUESTIONS:
            result = session.run_streamed(agent, question, previous_response_id=previous)
            assert [event async for event in result.stream_events()]
            said.append(result.final_output)
            previous = result.last_response_id
    check(said)

for trial in (conversation, compaction, an_object, websocket):
    asyncio.run(trial())
print("All of them work.")
""",
        says="All of them work.",
        environ={"OPENAI_AGENTS_DISABLE_TRACING": "1"},
    ),
    OtherClient(
        "instructor",
        "pip",
        ("instructor",),
        "an object, with its defaults, by chat completions and responses; partial, and several",
        program=_OPENAI
        + """
import instructor
from openai import OpenAI
from pydantic import BaseModel
class Address(BaseModel):
    street: str
    number: str | None = None
class Person(BaseModel):
    name: str
    age: int
    tags: list[str] = []
    address: Address | None = None
openai = OpenAI(base_url=URL, api_key=KEY)
clients = [instructor.from_openai(openai), instructor.from_openai(openai, mode=instructor.Mode.RESPONSES_TOOLS)]
asked = {"model": MODEL, "response_model": Person, "messages": [{"role": "user", "content": "Anna is 30."}], "max_retries": 0}
found = [client.chat.completions.create(**asked) for client in clients]
found += list(clients[0].chat.completions.create_partial(**asked))[-1:]
found += clients[0].chat.completions.create_iterable(**asked)
provided = instructor.from_provider(f"openai/{MODEL}", base_url=URL, api_key=KEY)
found.append(provided.create(**{name: asked[name] for name in ("response_model", "messages", "max_retries")}))
assert [person.age for person in found] == [30] * 5, found
print("All of them fit.")
""",
        says="All of them fit.",
    ),
    OtherClient(
        "open-webui",
        "pip",
        ("open-webui",),
        "sign-up, the preselected model, a streamed answer, its own tasks, which the log names; both API types",
        program=Path(__file__).with_name("open_webui_trial.py").read_text(),
        says="It all works.",
        logged=('ui_task="Open WebUI: title"', 'ui_task="Open WebUI: tags"', 'ui_task="Open WebUI: follow-ups"') * 2,
        environ={"OPENAI_API_BASE_URL": "@URL@", "OPENAI_API_KEY": KEY},
    ),
    OtherClient(
        "opencode",
        "npm",
        ("opencode-ai",),
        "one message of its agent",
        ("opencode", "run", "Hello!"),
        says=_DEMO,
        config=("opencode", "opencode.json"),
    ),
    OtherClient(
        "pi",
        "npm",
        ("@mariozechner/pi-coding-agent",),
        "one message of its agent",
        ("pi", "--provider", "codex-proxy", "--model", CHAT, "-p", "Hello!"),
        says=_DEMO,
        files={
            ".pi/agent/models.json": '{"providers": {"codex-proxy": {"api": "openai-completions", "baseUrl": @URL@,'
            ' "apiKey": @KEY@, "models": [{"id": @CHAT@}]}}}'
        },
    ),
    OtherClient(
        "continue",
        "npm",
        ("@continuedev/cli",),
        "one message of its agent",
        ("cn", "--config", "@HOME@/config.yaml", "-p", "Hello!"),
        says=_DEMO,
        config=("continue", "config.yaml"),
    ),
    OtherClient(
        "qwen-code",
        "npm",
        ("@qwen-code/qwen-code",),
        "one message of its agent",
        ("qwen", "--auth-type", "openai", "-p", "Hello!"),
        says=_DEMO,
        environ={"OPENAI_BASE_URL": "@URL@", "OPENAI_API_KEY": KEY, "OPENAI_MODEL": CHAT},
    ),
)
BY_NAME = {client.name: client for client in CLIENTS}
