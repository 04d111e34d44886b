"""Clients that somebody else wrote: how each is installed, set up and run once against a server.

A trial is a prompt whose answer can only be right when the whole way works: the demo's model calls the tool that the prompt
names, fills a schema, or says what was said. Where `codex-proxy client` has a configuration for a client, that one is used.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from codex_proxy.commands.client_configs import CONFIGS

KEY = "unused"  # of a server without keys
MODEL, CHAT = "gpt-5.5", "gpt-5.5:chat"
_INSTALL_LIMIT, _RUN_LIMIT = 900.0, 180.0  # seconds
_DEMO = "codex-proxy demo"  # in what the demo's model says
_ASKED = "Please use get_weather for Rome."
_WEATHER = "It is sunny in Rome."  # what the tool says, and the model repeats


class OtherClient(msgspec.Struct, frozen=True):
    """`command` or, of a library, a Python `program`; `says`: what is in the output of a trial that went well."""

    name: str
    manager: str  # pip or npm
    packages: tuple[str, ...]  # the first one is the client
    tries: str  # what of it is tried, in words
    command: tuple[str, ...] = ()
    program: str = ""
    says: str = _WEATHER
    config: tuple[str, str] | None = None  # of `codex-proxy client`, and where it belongs in the client's home
    files: Mapping[str, str] = {}  # more of them, with @URL@ and so on in them
    environ: Mapping[str, str] = {}


class Trial(msgspec.Struct, frozen=True):
    """What became of one. `problem` is None when it went well."""

    client: str
    version: str
    problem: str | None = None


class _Package(msgspec.Struct):
    """A package.json."""

    version: str


class NotInstalled(Exception):
    """The registry, or its client, did not give it."""


_TOOL = f'''
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "{_WEATHER}"
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
        return "{_WEATHER}"
service = OpenAIChatCompletion(ai_model_id=MODEL, async_client=AsyncOpenAI(base_url=URL, api_key=KEY))
agent = ChatCompletionAgent(service=service, name="anna", plugins=[Weather()])
print(asyncio.run(agent.get_response({_ASKED.replace("get_weather", "Weather-get_weather")!r})))
""",
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


async def install(client: OtherClient, directory: Path) -> str:
    """Install it into a directory, which may have it already; gives back its version. Raises NotInstalled."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    if client.manager == "pip":
        python = directory / "bin" / "python"
        if not python.exists():
            await _done(sys.executable, "-m", "venv", directory)
        await _done(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *client.packages)
        package = client.packages[0].partition("[")[0]
        return (await _done(python, "-c", f"from importlib.metadata import version; print(version({package!r}))")).strip()
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("npm is not installed")
    flags = ("--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1", "--prefix", directory)
    await _done(npm, "install", *flags, *client.packages)
    told = (directory / "node_modules" / client.packages[0] / "package.json").read_bytes()
    return msgspec.json.decode(told, type=_Package).version


async def attempt(client: OtherClient, directory: Path, base_url: str, home: Path) -> str | None:
    """Run an installed one in a home of its own; what went wrong, None when nothing did."""
    values = {"URL": base_url, "KEY": KEY, "MODEL": MODEL, "CHAT": CHAT}
    if client.config is not None:
        name, place = client.config
        _write(home / place, CONFIGS[name].filled(values))
    for place, text in client.files.items():
        for hole, value in values.items():
            text = text.replace(f"@{hole}@", f'"{value}"')
        _write(home / place, text)
    programs = directory / ("bin" if client.manager == "pip" else "node_modules/.bin")
    given = {name: value.replace("@HOME@", str(home)).replace("@URL@", base_url) for name, value in client.environ.items()}
    environ = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "BASE_URL": base_url,
        "MODEL": CHAT,
        "CI": "true",
        **given,
    }
    command = client.command or ("python", "-c", client.program)
    words = [word.replace("@HOME@", str(home)) for word in command]
    code, said = await _run(*words, limit=_RUN_LIMIT, cwd=home, environ=environ)
    return None if code == 0 and client.says in said else f"exit code {code}: {said[-1500:]}"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


async def _done(*command: str | Path) -> str:
    code, said = await _run(*command, limit=_INSTALL_LIMIT)
    if code != 0:
        raise NotInstalled(f"{' '.join(map(str, command))[:200]}: {said[-500:]}")
    return said


async def _run(
    *command: str | Path, limit: float, cwd: Path | None = None, environ: dict[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and output; one that takes too long is killed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    ending = asyncio.ensure_future(process.communicate())
    await asyncio.wait([ending], timeout=limit)
    if process.returncode is None:
        process.kill()
    said, _ = await ending
    return process.returncode or 0, said.decode(errors="replace")
