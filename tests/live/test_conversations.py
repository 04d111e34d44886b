"""One conversation is one Codex thread to the model's provider: compared by what the scripted model received."""

import asyncio
import os
from collections.abc import AsyncIterator
from itertools import pairwise, takewhile
from typing import Any

import msgspec
import pytest

from codex_proxy.demo import shell
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words
from tests.conftest import Proxy, ProxyStarter
from tests.live.test_tools import WEATHER

SCRIPTS, CALLS = "gpt-5.6-sol", "gpt-5.5"  # models: the first in code mode, as nearly all are
_OF_ITSELF = ("You are Codex, a", "<permissions instructions>", "<environment_context>")


async def by_the_prompt(request: ModelRequest) -> AsyncIterator[Step]:
    """Runs a command, calls the client's tool, fills an object or answers, as the prompt says."""
    prompt = request.prompt
    if "run" in prompt and not request.outputs:
        yield shell.run("echo hidden work", request)
    elif "tool" in prompt and len(request.outputs) < 2:
        yield Call("get_weather", '{"city": "Rome"}', f"call_{len(request.input)}")
    elif "object" in prompt:
        yield Say(("{}",))
    else:
        yield Say(words(f"An answer to: {prompt}"))


@pytest.fixture
def talking(model: ModelServer) -> ModelServer:
    model.script = by_the_prompt
    return model


async def reasoned(request: ModelRequest) -> AsyncIterator[Step]:
    """The same, with encrypted reasoning before each."""
    yield Think(("**Thinking it over**",), encrypted=f"sealed {len(request.input)}")
    async for step in by_the_prompt(request):
        yield step


@pytest.fixture
def one_worker(environ: dict[str, str]) -> None:
    """So that no other takes a conversation when the machine is too slow to leave it to the one that has it."""
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"


class Chat:
    """A client that keeps its conversation by itself, as chat clients do."""

    def __init__(self, proxy: Proxy, model: str = SCRIPTS, **members: Any) -> None:
        self.messages: list[dict[str, Any]] = []
        self.tokens: list[int] = []
        self.proxy = proxy
        self.members = {"model": model, **members}

    async def say(self, text: str) -> dict[str, Any]:
        self.messages.append({"role": "user", "content": text})
        return await self.go_on()

    async def go_on(self) -> dict[str, Any]:
        answer = await (await self.proxy.chat(messages=self.messages, **self.members)).json()
        assert "choices" in answer, answer
        message: dict[str, Any] = answer["choices"][0]["message"]
        self.tokens.append(answer["usage"]["total_tokens"])
        kept = {"role": "assistant", "content": message["content"]}
        self.messages.append(kept | ({"tool_calls": message["tool_calls"]} if message.get("tool_calls") else {}))
        return message

    def give_results(self) -> None:
        for call in self.messages[-1]["tool_calls"]:
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": f"sunny, said {call['id']}"})


def cached_share(requests: list[ModelRequest]) -> float:
    """How much of each request but the last the provider could take from its cache for the next one."""
    total = cached = 0
    for former, later in pairwise(requests):
        items = [*map(msgspec.json.encode, former.input)]
        total += sum(map(len, items))
        if before_the_input(former) == before_the_input(later):
            same = takewhile(lambda pair: pair[0] == msgspec.json.encode(pair[1]), zip(items, later.input, strict=False))
            cached += sum(len(mine) for mine, _ in same)
    return cached / total


def told_once(requests: list[ModelRequest]) -> bool:
    """Whether the last request has what Codex tells of itself once, at its head, and no place that only one process has."""
    first, *others = requests[-1].input
    if "additional_tools" in (item["type"] for item in others):
        return False
    items = others if first["type"] == "additional_tools" else [first, *others]
    told = [any(mark in str(item) for mark in _OF_ITSELF) for item in items]
    return sum(told) == len([*takewhile(bool, told)]) <= len(_OF_ITSELF) and "codex-arg0" not in str(requests[-1].body)


def shown_to(request: ModelRequest) -> str:
    """All that the agent's commands have printed in a request, for its model."""
    return str([item["output"] for item in request.input if item["type"].endswith("_output")])


def before_the_input(request: ModelRequest) -> bytes:
    return msgspec.json.encode([request.body.get(name) for name in ("prompt_cache_key", "instructions", "tools", "model")])


def work(request: ModelRequest) -> list[str]:
    """The kinds of the items in a request that are neither messages nor tools."""
    return [item["type"] for item in request.input if item["type"] not in ("message", "additional_tools")]


async def test_a_chat_goes_on_in_its_thread_and_the_agent_remembers_its_work(proxy: Proxy, talking: ModelServer) -> None:
    for model in (SCRIPTS, CALLS):
        del talking.requests[:]
        chat = Chat(proxy, model)
        await chat.say(f"Please run it as {model}.")
        await chat.say("And then?")
        await chat.say("At last?")
        assert chat.tokens == [30, 15, 15]
        assert cached_share(talking.requests) == 1.0
        assert told_once(talking.requests)
        assert "hidden work" in shown_to(talking.requests[-1])
        assert len(talking.requests) == 4


async def test_a_tool_loop_goes_on_in_its_thread(proxy: Proxy, talking: ModelServer) -> None:
    for mode in (SCRIPTS, CALLS, f"{SCRIPTS} chat"):
        del talking.requests[:]
        chat = Chat(proxy, mode, tools=[WEATHER])
        await chat.say(f"Use the tool ({mode}).")
        while chat.messages[-1].get("tool_calls"):
            chat.give_results()
            await chat.go_on()
        await chat.say("Thank you.")
        assert chat.tokens == [15] * 4
        assert cached_share(talking.requests) == 1.0
        assert told_once(talking.requests)
        assert work(talking.requests[-1]) == ["function_call", "function_call_output"] * 2
        assert len(talking.requests) == 4


async def test_every_turn_on_another_worker(
    start_proxy: ProxyStarter, environ: dict[str, str], talking: ModelServer, home: Home
) -> None:
    environ |= {"CODEX_WORKER_MAX_TURNS": "1"}
    async with start_proxy() as proxy:
        for mode in (SCRIPTS, f"{SCRIPTS} chat"):
            del talking.requests[:]
            chat = Chat(proxy, mode)
            for text in ("One.", "Two.", "Three."):
                await chat.say(text)
            assert chat.tokens == [15] * 3
            assert cached_share(talking.requests) == 1.0
            assert told_once(talking.requests)
    assert not list(home.codex_home.glob("sessions/**/*.jsonl"))


async def test_what_a_killed_server_has_left_is_removed_and_what_is_the_users_stays(
    start_proxy: ProxyStarter, talking: ModelServer, home: Home
) -> None:
    async with start_proxy() as proxy:
        await Chat(proxy).say("One.")
        [rollout] = home.codex_home.glob("sessions/**/*.jsonl")
        content = rollout.read_bytes()
    assert not rollout.exists()
    users = rollout.with_name(rollout.name.replace("rollout-2", "rollout-1"))
    rollout.write_bytes(content)
    users.write_bytes(content.replace(b'"codex_proxy"', b'"codex_cli"'))
    for file in (rollout, users):
        os.utime(file, (1, 1))
    async with start_proxy():
        async with asyncio.timeout(5):
            while rollout.exists():
                await asyncio.sleep(0)
    assert users.exists()


async def test_a_private_conversation_leaves_nothing_on_disk(proxy: Proxy, talking: ModelServer, home: Home) -> None:
    chat = Chat(proxy, store=False)
    await chat.say("Please run it, secretly.")
    await chat.say("And the secret?")
    assert "hidden work" in shown_to(talking.requests[-1])
    left = [(file, file.read_bytes()) for file in home.root.rglob("*") if file.is_file()]
    assert [file for file, content in left if b"secret" in content or b"hidden work" in content] == []


async def test_a_conversation_that_becomes_private_leaves_nothing_more_on_disk(
    proxy: Proxy, talking: ModelServer, home: Home
) -> None:
    for mode in (SCRIPTS, f"{SCRIPTS} chat"):
        chat, private = Chat(proxy, mode), Chat(proxy, mode, store=False)
        private.messages = chat.messages
        await chat.say("Please run it." if mode == SCRIPTS else "One.")
        for text in ("The secret?", "And the other secret?"):
            await private.say(text)
        assert ("hidden work" in shown_to(talking.requests[-1])) is (mode == SCRIPTS)
    assert [file for file in home.codex_home.rglob("*") if file.is_file() and b"secret" in file.read_bytes()] == []


async def test_what_is_kept_in_memory_comes_once_in_every_thread_that_is_given_it(
    start_proxy: ProxyStarter, environ: dict[str, str], talking: ModelServer, home: Home
) -> None:
    environ |= {"CODEX_WORKER_MAX_TURNS": "1"}
    (home.workdir / "AGENTS.md").write_text("Mind the gap.")
    async with start_proxy() as proxy:
        chat = Chat(proxy, store=False)
        texts = ["Please run one.", "Two.", "Three.", "Four.", "Five."]
        for text in texts:
            await chat.say(text)
    assert [said for said in reversed(talking.requests[-1].said_by_user) if said in texts] == texts
    assert told_once(talking.requests)
    assert work(talking.requests[-1]) == ["custom_tool_call", "custom_tool_call_output"]
    assert str(talking.requests[-1].input).count("Mind the gap.") == 1


async def test_the_form_of_an_answer_is_told_for_its_turn_only(proxy: Proxy, talking: ModelServer) -> None:
    chat, form = Chat(proxy), {"response_format": {"type": "json_object"}}
    for text, members, told in (
        ("Please run it.", {}, 0),
        ("An object.", form, 1),
        ("One more object.", form, 2),
        ("Thanks.", {}, 0),
    ):
        chat.members = {"model": SCRIPTS, **members}
        await chat.say(text)
        assert str(talking.requests[-1].input).count("Answer with one JSON value") == told, text
    assert "hidden work" in shown_to(talking.requests[-1])
    assert talking.requests[-1].said_by_user[:3] == ["Thanks.", "One more object.", "An object."]


async def test_a_service_tier_is_that_of_the_turns_that_name_it(proxy: Proxy, talking: ModelServer) -> None:
    for store in (True, False):
        for mode in (SCRIPTS, f"{SCRIPTS} chat"):
            usual, paid = Chat(proxy, mode, store=store), Chat(proxy, mode, store=store, service_tier="priority")
            paid.messages = usual.messages
            for chat, tier in ((usual, None), (paid, "priority"), (usual, None), (paid, "priority")):
                await chat.say("Which?")
                assert talking.requests[-1].body.get("service_tier") == tier


async def test_an_answer_that_was_cut_off_is_not_taken_for_the_same_one_of_another_conversation(
    proxy: Proxy, model: ModelServer
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if shell.tool(request) and not request.outputs:
            yield shell.run("echo hidden work", request)
        else:
            yield Say(("Yes", ", or no." if "high" in str(request.body.get("text")) else ""))

    model.script = script
    cut = Chat(proxy, stop=[","], verbosity="high")
    await Chat(proxy).say("Well?")
    await cut.say("Well?")
    await cut.say("And?")
    assert work(model.requests[-1]).count("custom_tool_call") == 1  # that of the turn itself


async def test_turns_that_continue_the_same_answer_at_once_go_each_its_own_way(proxy: Proxy, talking: ModelServer) -> None:
    """Over and over: their thread is live, being closed, or being resumed elsewhere."""
    chat, fork = Chat(proxy), Chat(proxy)
    await chat.say("One.")
    fork.messages = [*chat.messages]
    for number in range(5):
        await asyncio.gather(chat.say(f"Two {number}."), fork.say(f"Other {number}."))
    for one, text in ((chat, "Two"), (fork, "Other")):
        assert [message["content"] for message in one.messages[2:]] == [
            told for number in range(5) for told in (f"{text} {number}.", f"An answer to: {text} {number}.")
        ]
    for last in talking.requests[-2:]:
        said = [text for text in last.said_by_user if text.startswith(("Two", "Other"))]
        assert len({text.split()[0] for text in said}) == 1
        assert len(said) == 5


@pytest.mark.parametrize("store", [True, False])
async def test_responses_go_on_in_their_thread(proxy: Proxy, model: ModelServer, store: bool) -> None:
    """By previous_response_id where they are stored, else by the items that the client sends again, reasoning included."""
    model.script = reasoned
    previous: str | None = None
    items: list[dict[str, Any]] = []
    for text in ("Please run it.", "And then?", "At last?"):
        asked = {"type": "message", "role": "user", "content": text}
        members = {"input": [asked], "previous_response_id": previous} if store else {"input": [*items, asked], "store": False}
        answer = await (await proxy.http.post(f"{proxy.base_url}/responses", json={"model": SCRIPTS, **members})).json()
        assert answer["status"] == "completed", answer
        previous = answer["id"]
        items += [asked, *answer["output"]]
    assert cached_share(model.requests) == 1.0
    assert told_once(model.requests)
    assert "sealed" in str(model.requests[-1].input)
    assert len(model.requests) == 4


async def test_a_conversation_has_the_sandbox_of_each_turn_and_not_of_the_one_before(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str], home: Home
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        command = f"cat {home.codex_home}/config.toml; echo {len(request.input)} > made-by-{len(request.input)}"
        if not request.outputs:
            yield shell.run(command, request)
        else:
            yield Say(words(f"An answer to: {request.prompt}"))

    model.script = script
    environ |= {"CODEX_ALLOW_DANGER_FULL_ACCESS": "1", "CODEX_SANDBOX_CEILING": "danger-full-access"}
    async with start_proxy() as proxy:
        chat = Chat(proxy)
        for sandbox, secret_read, written in (
            ("read-only", False, False),
            ("danger-full-access", True, True),
            ("read-only", False, False),
            ("workspace-write", False, True),
            ("read-only", False, False),
        ):
            before = set(home.workdir.iterdir())
            chat.members["x_codex"] = {"sandbox": sandbox}
            await chat.say(f"Now {sandbox}, after {len(chat.messages)}.")
            output = str(model.requests[-1].outputs[-1])
            assert ("model_provider" in output) is secret_read, (sandbox, output)
            assert bool(set(home.workdir.iterdir()) - before) is written, (sandbox, output)
        assert cached_share([model.requests[0], model.requests[-1]]) > 0
