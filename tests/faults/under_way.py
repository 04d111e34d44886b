"""What may be under way when the store fails, and what became of each: one outcome, and one turn, or it is `wrong`."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from codex_proxy.demo.steps import ModelRequest, Say, Step
from tests.conftest import Proxy

PIECES, PACE = 40, 0.06  # of an answer; seconds between two of them
_LIMIT = 90.0  # seconds for any one request: the longest fault, 60 s, and what it takes to settle
_TRIES = 6  # of the client that repeats its request
_PAUSE = 1.0  # seconds before it does
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")
_RUNNING = ("queued", "in_progress")


class Turns:
    """The script of a model that counts its turns by their prompt."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    async def script(self, request: ModelRequest) -> AsyncIterator[Step]:
        self.of[request.prompt] += 1
        yield Say(tuple(f"{request.prompt}.{number} " for number in range(PIECES)), PACE)


class UnderWay:
    """Six requests that a server has begun. `wrong` says what must not be."""

    def __init__(self, proxy: Proxy, turns: Turns) -> None:
        self.wrong: list[str] = []
        self.outcomes: dict[str, str] = {}
        self.ids: list[str] = []
        self._proxy = proxy
        self._turns = turns
        self._url = f"{proxy.base_url}/responses"

    async def run(self, begun: asyncio.Event, failing: asyncio.Event) -> None:
        """All six to their outcomes; sets `begun` when each has said its first words. Some wait for the store to be `failing`."""
        before = await self._json("POST", self._url, {"input": "earlier"})
        kinds = {
            "stream": self._stream({"input": "stream", "stream": True}),
            "background": self._background("background"),
            "follower": self._stream({"input": "follower", "stream": True, "background": True}),
            "idempotent": self._idempotent(),
            "cancel": self._cancelled(failing),
            "continuation": self._stream({"input": "continuation", "stream": True, "previous_response_id": before["id"]}),
        }
        async with asyncio.TaskGroup() as group:
            for kind, asking in kinds.items():
                group.create_task(self._watched(kind, asking))
            while len(self._turns.of) < 1 + len(kinds):
                await asyncio.sleep(0.02)
            begun.set()

    async def settled(self) -> list[str]:
        """The ids of the responses that still read as if they were being made."""
        found = []
        for one in set(self.ids):
            answer = await self._proxy.http.get(f"{self._url}/{one}")
            if answer.status != 404 and (answer.status != 200 or (await answer.json())["status"] in _RUNNING):
                found.append(one)
        return found

    def check_turns(self) -> None:
        self.wrong += [f"{prompt} ran {count} times" for prompt, count in self._turns.of.items() if count > 1]

    async def _watched(self, kind: str, asking: Any) -> None:
        try:
            async with asyncio.timeout(_LIMIT):
                self.outcomes[kind] = await asking
        except TimeoutError:
            self.wrong.append(f"{kind}: no outcome within {_LIMIT:g} s")
        except aiohttp.ClientError as error:
            self.wrong.append(f"{kind}: cut off: {error!r}")

    async def _stream(self, body: dict[str, Any]) -> str:
        """Each number once, one end, and nothing after it."""
        answer = await self._proxy.http.post(self._url, json=body)
        if answer.status != 200:
            return self._refused(str(body["input"]), answer, await answer.text())
        events = [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: {")]
        self.ids += [event["response"]["id"] for event in events[:1] if event["type"] != "error"]  # the store may fail before it
        ends = [event for event in events if event["type"] in (*_TERMINAL, "error")]
        if len(ends) != 1 or ends[0] is not events[-1]:
            self.wrong.append(f"{body['input']}: ends with {[event['type'] for event in events[-3:]]}")
        numbers = [event["sequence_number"] for event in events if event["type"] != "error" and "sequence_number" in event]
        if numbers != list(range(len(numbers))):
            self.wrong.append(f"{body['input']}: numbers {numbers}")
        text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        if events[-1]["type"] == "response.completed" and text != self._whole(str(body["input"])):
            self.wrong.append(f"{body['input']}: completed with {text}")
        return str(events[-1]["type"])

    async def _background(self, prompt: str) -> str:
        made = await self._json("POST", self._url, {"input": prompt, "background": True})
        self.ids.append(made["id"])
        told = ""
        while True:
            await asyncio.sleep(0.2)
            answer = await self._proxy.http.get(f"{self._url}/{made['id']}")
            if answer.status == 404:
                return "gone"
            if answer.status != 200:
                continue
            status = (await answer.json())["status"]
            if told and status != told:
                self.wrong.append(f"{prompt}: read {told}, then {status}")
            if status not in _RUNNING:
                if told:
                    return str(status)
                told = status

    async def _idempotent(self) -> str:
        """As an SDK does: it repeats what failed, unless it is told not to."""
        for _ in range(_TRIES):
            answer = await self._proxy.http.post(self._url, json={"input": "idempotent"}, headers={"Idempotency-Key": "one"})
            text = await answer.text()
            if answer.status == 200:
                self.ids.append(json.loads(text)["id"])
                return "completed"
            if answer.headers.get("x-should-retry") == "false" or answer.status not in (408, 409, 429, 500, 502, 503, 504):
                break
            await asyncio.sleep(_PAUSE)
        return f"{answer.status}"

    async def _cancelled(self, failing: asyncio.Event) -> str:
        made = await self._json("POST", self._url, {"input": "cancel", "background": True})
        self.ids.append(made["id"])
        await failing.wait()
        for _ in range(_TRIES):
            answer = await self._proxy.http.post(f"{self._url}/{made['id']}/cancel")
            if answer.status in (200, 404):
                return str((await answer.json()).get("status", "gone"))
            await asyncio.sleep(_PAUSE)
        return f"{answer.status}"

    def _refused(self, prompt: str, answer: aiohttp.ClientResponse, text: str) -> str:
        if self._turns.of[prompt] and answer.status != 400 and answer.headers.get("x-should-retry") != "false":
            self.wrong.append(f"{prompt}: its turn had begun, and it may be retried: {text}")
        return f"{answer.status}"

    async def _json(self, method: str, url: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._proxy.http.request(method, url, json=body)
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found

    @staticmethod
    def _whole(prompt: str) -> str:
        return "".join(f"{prompt}.{number} " for number in range(PIECES))
