"""Who waits for whom: a key's own number of turns, turns of several keys in turn, and room in a full queue."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter
from tests.support.key_file import Bearer, write_keys
from tests.support.refusals import post, refusal

_LIMIT = 10.0  # seconds for what takes a fraction of one


class _HeldModel:
    """A model that answers a prompt when it is let go; `asked`: the prompts that have come, in order."""

    def __init__(self, model: ModelServer) -> None:
        model.script = self._script
        self.asked: list[str] = []
        self._let_go: dict[str, asyncio.Event] = {}

    async def _script(self, request: ModelRequest) -> AsyncIterator[Step]:
        self.asked.append(request.prompt)
        await self._gate(request.prompt).wait()
        yield Say(words("done"))

    def let_go(self, *prompts: str) -> None:
        for prompt in prompts:
            self._gate(prompt).set()

    def _gate(self, prompt: str) -> asyncio.Event:
        return self._let_go.setdefault(prompt, asyncio.Event())


class _Line:
    """Sends prompts, and knows when each has come to the model or into the queue."""

    def __init__(self, proxy: Proxy, held: _HeldModel, group: asyncio.TaskGroup) -> None:
        self._proxy = proxy
        self._held = held
        self._group = group
        self.answers: dict[str, asyncio.Task[aiohttp.ClientResponse]] = {}

    async def runs(self, prompt: str, who: Bearer) -> None:
        """Send one that is to run at once."""
        self.send(prompt, who)
        await self.running(prompt)

    async def waits(self, prompt: str, who: Bearer) -> None:
        """Send one that is to wait."""
        number = self._proxy.server.jobs.waiting + 1
        self.send(prompt, who)
        async with asyncio.timeout(_LIMIT):
            while self._proxy.server.jobs.waiting != number:
                await asyncio.sleep(0)

    async def running(self, prompt: str) -> None:
        """Wait until it has come to the model; asserts that it is the latest."""
        async with asyncio.timeout(_LIMIT):
            while prompt not in self._held.asked:
                await asyncio.sleep(0)
        assert self._held.asked[-1] == prompt

    async def refused(self, prompt: str, who: Bearer | None = None) -> None:
        """Wait until one, sent now where it says whose, is answered that the server is busy."""
        if who is not None:
            self.send(prompt, who)
        answer = await self.answers.pop(prompt)
        assert (answer.status, (await refusal(answer)).code) == (503, "server_overloaded")
        assert int(answer.headers["Retry-After"]) >= 1

    async def all_answered(self) -> None:
        self._held.let_go(*self.answers)
        assert {prompt: (await answer).status for prompt, answer in self.answers.items()} == dict.fromkeys(self.answers, 200)

    def send(self, prompt: str, who: Bearer) -> None:
        self.answers[prompt] = self._group.create_task(post(self._proxy, {"messages": [{"role": "user", "content": prompt}]}, who))


async def test_a_turn_over_a_keys_number_waits_for_its_own_and_for_no_other(
    start_proxy: ProxyStarter, environ: dict[str, str], key_file: Path, model: ModelServer
) -> None:
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "2"
    keys = write_keys(key_file, {"anna": {"parallel_turns": 1}, "bob": {}})
    held = _HeldModel(model)
    async with start_proxy() as proxy, asyncio.TaskGroup() as group:
        line = _Line(proxy, held, group)
        await line.runs("anna 1", keys["anna"])
        await line.waits("anna 2", keys["anna"])
        for prompt in ("bob 1", "bob 2"):
            await line.runs(prompt, keys["bob"])
            held.let_go(prompt)
            await line.answers[prompt]
        assert proxy.server.jobs.waiting == 1
        held.let_go("anna 1")
        await line.running("anna 2")
        await line.all_answered()


async def test_by_default_no_key_holds_every_worker_while_there_are_others(
    start_proxy: ProxyStarter, environ: dict[str, str], key_file: Path, model: ModelServer
) -> None:
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": "2", "PROXY_API_KEY": "main"}
    keys = write_keys(key_file, {"greedy": {}, "modest": {}}) | {"main": {"Authorization": "Bearer main"}}
    held = _HeldModel(model)
    async with start_proxy() as proxy, asyncio.TaskGroup() as group:
        line = _Line(proxy, held, group)
        for greedy, modest in (("greedy", "modest"), ("main", "greedy")):
            await line.runs(f"{greedy} 1", keys[greedy])
            await line.waits(f"{greedy} 2", keys[greedy])
            await line.runs(f"{modest} 3", keys[modest])
            held.let_go(f"{modest} 3")
            await line.answers[f"{modest} 3"]
            held.let_go(f"{greedy} 1")
            await line.running(f"{greedy} 2")
            held.let_go(f"{greedy} 2")
            await line.answers[f"{greedy} 2"]
        await line.all_answered()


async def test_the_only_key_may_have_every_worker(
    start_proxy: ProxyStarter, environ: dict[str, str], key_file: Path, model: ModelServer
) -> None:
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "2"
    keys = write_keys(key_file, {"anna": {}})
    held = _HeldModel(model)
    async with start_proxy() as proxy, asyncio.TaskGroup() as group:
        line = _Line(proxy, held, group)
        for number in (1, 2):
            await line.runs(f"anna {number}", keys["anna"])
        await line.all_answered()


async def test_a_keys_twenty_waiting_turns_do_not_keep_anothers_first_waiting(
    start_proxy: ProxyStarter, environ: dict[str, str], key_file: Path, model: ModelServer
) -> None:
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    keys = write_keys(key_file, {"greedy": {}, "modest": {}})
    held = _HeldModel(model)
    async with start_proxy() as proxy, asyncio.TaskGroup() as group:
        line = _Line(proxy, held, group)
        await line.runs("greedy 0", keys["greedy"])
        for number in range(1, 21):
            await line.waits(f"greedy {number}", keys["greedy"])
        for number in (1, 2):
            await line.waits(f"modest {number}", keys["modest"])
        for prompt in ("greedy 0", "modest 1", "greedy 1", "modest 2", "greedy 2"):
            await line.running(prompt)
            held.let_go(prompt)
        await line.all_answered()
    assert held.asked[5:] == [f"greedy {number}" for number in range(3, 21)]


async def test_in_a_full_queue_whoever_has_most_makes_room_for_who_has_less(
    start_proxy: ProxyStarter, environ: dict[str, str], key_file: Path, model: ModelServer
) -> None:
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": "1", "CODEX_MAX_QUEUED_REQUESTS": "4"}
    keys = write_keys(key_file, {"greedy": {}, "modest": {}})
    held = _HeldModel(model)
    async with start_proxy() as proxy, asyncio.TaskGroup() as group:
        line = _Line(proxy, held, group)
        await line.runs("greedy 0", keys["greedy"])
        for number in range(1, 5):
            await line.waits(f"greedy {number}", keys["greedy"])
        await line.refused("greedy 5", keys["greedy"])
        for number, makes_room in ((1, "greedy 4"), (2, "greedy 3")):
            line.send(f"modest {number}", keys["modest"])
            await line.refused(makes_room)
        await line.refused("modest 3", keys["modest"])
        await line.refused("greedy 6", keys["greedy"])
        assert proxy.server.jobs.waiting == 4
        await line.all_answered()
    assert sorted(held.asked) == ["greedy 0", "greedy 1", "greedy 2", "modest 1", "modest 2"]
