"""The installed server as a fuzz test sees it: asked one thing at a time, and judged by each answer."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from codex_proxy.demo.model import ModelServer
from tests.support.refusals import Error

KEY = "sk-fuzz"
_TURNS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/responses/compact")
ANSWERED_WITHIN = 20.0  # seconds; a turn of the scripted model takes a tenth of one on a quiet machine
_RUNNING = ("queued", "in_progress")
_SHOWN = 4000  # bytes of a request, characters of an answer
_PAGE_BYTES = 4096
_STRANGE_KEYS: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {KEY}x"},
    {"Authorization": f"Basic {KEY}"},
)


class _Refused(msgspec.Struct, forbid_unknown_fields=True):
    error: Error


class Target:
    """A server behind `KEY`. `wrong`: what it did that it must not, with the request; `asked`, `turns`: how often."""

    def __init__(self, address: str, pid: int, model: ModelServer, http: httpx.AsyncClient) -> None:
        self.address = address
        self.wrong: list[str] = []
        self.asked = 0
        self.turns = 0
        self._begun = 0  # refusals that owned up to a turn, whose call of the model was not seen yet
        self._statm = Path(f"/proc/{pid}/statm")
        self._model = model
        self._http = http

    async def ask(self, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Ask with the key, and wait for the end of what was asked for, in the background too."""
        answer = await self._ask(method, path, content, {"Authorization": f"Bearer {KEY}"} | dict(headers or {}))
        if answer.status_code == 200 and method == "POST":
            self.turns += path in _TURNS
            await self._ended(answer)
        return answer

    async def ask_as_stranger(self, chance: random.Random, method: str, path: str, content: bytes) -> None:
        """Ask without the key: it must not even be told what is wrong with the request."""
        answer = await self._ask(method, path, content, {"Content-Type": "application/json"} | chance.choice(_STRANGE_KEYS))
        if answer.status_code not in (401, 429):  # the latter after many
            self._blame("a stranger is not sent away", answer)

    def memory(self) -> float:
        """What the server's process has resident, in MB."""
        return int(self._statm.read_text().split()[1]) * _PAGE_BYTES / 1e6

    async def _ask(self, method: str, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        calls = self._model.calls
        async with asyncio.timeout(ANSWERED_WITHIN):
            answer = await self._http.request(method, self.address + path, content=content, headers=headers)
        self.asked += 1
        if answer.status_code >= 500:
            self._blame("failed", answer)
        elif answer.status_code >= 400:
            self._judge_refusal(answer, self._model.calls - calls)
        return answer

    def _judge_refusal(self, answer: httpx.Response, calls: int) -> None:
        """It has OpenAI's form, and no turn was run, unless it says that one had begun: then the model may be asked a bit later."""
        self._begun += answer.headers.get("x-should-retry") == "false"
        if calls > self._begun:
            self._blame("a turn was run", answer)
        self._begun -= min(calls, self._begun)
        try:
            msgspec.json.decode(answer.content, type=_Refused)
        except msgspec.MsgspecError as error:
            self._blame(f"not in OpenAI's form: {error}", answer)

    async def _ended(self, answer: httpx.Response) -> None:
        """Wait for a response in the background: its turn must not be taken for another request's."""
        if answer.headers["content-type"] == "application/json":
            made: dict[str, Any] = answer.json()  # Any: JSON
            while made.get("status") in _RUNNING:
                made = (await self._ask("GET", f"/v1/responses/{made['id']}", b"", {"Authorization": f"Bearer {KEY}"})).json()

    def _blame(self, what: str, answer: httpx.Response) -> None:
        asked = answer.request
        said = f"{answer.status_code} {answer.text[:_SHOWN]}"
        self.wrong.append(f"{what}: {said} to {asked.method} {asked.url} {asked.content[:_SHOWN]!r}")
