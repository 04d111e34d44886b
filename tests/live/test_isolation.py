"""No item of a conversation reaches another: many that are alike, under several keys, interleaved over four workers.

A turn's hidden work has a number that only its conversation may know; a model in code mode also stores it for its next script.
ISOLATION_CONVERSATIONS=1000 runs as many.
"""

import asyncio
import os
import random
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from codex_proxy.demo import shell
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import ProxyStarter
from tests.support.key_file import write_keys

CONVERSATIONS = int(os.environ.get("ISOLATION_CONVERSATIONS", "15"))
KEYS = [f"key-{number}" for number in range(5)]
TURNS, AT_ONCE = 3, 8
MODELS = ("gpt-5.6-sol", "gpt-5.6-sol chat", "gpt-5.5")
_SEEN = re.compile(r"conversation (\d+)")
_WORK = re.compile(r"work (\d+)")
_STORES = 'text([load("work"), globalThis.work].join(" ")); globalThis.work = "{0}"; store("work", "{0}");'


class Watch:
    """Plays the model, whose answers are few, and keeps of each request which conversations and which work it had."""

    def __init__(self) -> None:
        self.seen: list[tuple[set[str], set[str]]] = []
        self.chance = random.Random(1)
        self.work = 0

    async def script(self, request: ModelRequest) -> AsyncIterator[Step]:
        body = str(request.input)
        self.seen.append((set(_SEEN.findall(body)), set(_WORK.findall(body))))
        if not request.outputs and (shell.tool(request) or "exec" in request.tool_names):
            self.work += 1
            call = f"call_{self.work}_{len(request.input)}"
            if shell.tool(request) == "exec_command":
                yield shell.run(f"echo work {self.work}", request, call)
            else:
                yield shell.script(_STORES.format(f"work {self.work}"), call)
        else:
            yield Say(words(self.chance.choice(("Yes.", "No."))))


async def test_no_item_of_a_conversation_reaches_another(
    start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, tmp_path: Path
) -> None:
    """The first turns are the same word for word; each later prompt names its conversation."""
    watch, chance = Watch(), random.Random(2)
    model.script = watch.script
    bearers = write_keys(tmp_path / "keys.toml", {key: {} for key in KEYS})
    environ |= {"PROXY_API_KEYS_FILE": str(tmp_path / "keys.toml"), "CODEX_MAX_PARALLEL_REQUESTS": "4"}
    free = asyncio.Semaphore(AT_ONCE)
    async with start_proxy() as proxy:

        async def converse(number: int) -> None:
            messages: list[dict[str, Any]] = []
            members = {"model": MODELS[(0, 1, 0, 0, 2, 0, 0)[number % 7]], "store": number % 3 > 0}
            for turn in range(TURNS):
                text = chance.choice(("Hi.", "Go on."))
                messages.append({"role": "user", "content": f"{text} This is conversation {number}." if turn else text})
                async with free:
                    body = members | {"messages": messages}
                    headers = bearers[KEYS[number % len(KEYS)]]
                    response = await proxy.http.post(f"{proxy.base_url}/chat/completions", json=body, headers=headers)
                    answer = await response.json()
                messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})

        await asyncio.gather(*map(converse, range(CONVERSATIONS)))
    owners = defaultdict[str, set[str]](set)
    for conversations, works in watch.seen:
        assert len(conversations) <= 1
        assert conversations or len(works) <= 1
        for work in works:
            owners[work] |= conversations
    assert all(len(conversations) <= 1 for conversations in owners.values())
    remembered = sum(len(works) > 1 for conversations, works in watch.seen if conversations)
    assert remembered > CONVERSATIONS / 2  # all agents' in their last turn, if nothing is slow: what could be told to others
