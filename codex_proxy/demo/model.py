"""A model server for the Responses API that plays a script: the model of the demo and of all tests.

It implements only what the Codex CLI needs from a provider (POST /v1/responses over SSE, seen with 0.147 to 0.169). It must
never listen on any address but 127.0.0.1.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from codex_proxy.demo.prompt_cache import PromptCache
from codex_proxy.demo.steps import Call, Count, Cut, Fail, ModelRequest, Raw, Refuse, Say, Script, Step, Think

MAX_REQUEST_BYTES = 64 * 1024 * 1024
_KEPT_REQUESTS = 1000

Check = Callable[[ModelRequest], str | None]


class ModelServer:
    """Plays `script` for every request. `requests` has the latest requests, oldest first; `calls` counts all requests."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[ModelRequest] = []
        self.calls = 0
        self.check: Check | None = None  # if set, a problem it finds is answered with 400 and added to `refused`
        self.refused: list[str] = []
        self.headers: dict[str, str] = {}  # sent with every answer
        self.cache: PromptCache | None = None  # if set, it determines usage and prefill time
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @classmethod
    @asynccontextmanager
    async def started(cls, script: Script, port: int = 0) -> AsyncIterator["ModelServer"]:
        """Listen on 127.0.0.1 (`port` 0: any free port) until the block ends, which cuts open responses off."""
        model = cls(script)
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_post("/v1/responses", model._respond)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            model.port = runner.addresses[0][1]
            yield model
        finally:
            await runner.cleanup()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        asked = ModelRequest(body=msgspec.json.decode(await request.read()))
        self.calls += 1
        self.requests = [*self.requests[-_KEPT_REQUESTS:], asked]
        if self.check is not None and (problem := self.check(asked)) is not None:
            self.refused.append(problem)
            return web.json_response({"error": {"message": problem, "type": "invalid_request_error"}}, status=400)
        answer = _Answer(request, f"resp_{self.calls}", self.headers)
        if self.cache is not None:
            await answer.play(count := self.cache.count(asked))
            await asyncio.sleep(self.cache.delay(count))
        async for step in self.script(asked):
            if isinstance(step, Refuse):
                return web.Response(status=step.status, text=step.body, content_type="application/json")
            await answer.play(step)
            if answer.ended:
                return answer.stream
        await answer.complete()
        return answer.stream


class _Answer:
    """A response being sent."""

    def __init__(self, request: web.Request, response_id: str, headers: dict[str, str]) -> None:
        self._request = request
        self._id = response_id
        self._numbers = itertools.count()
        self._usage = Count()
        self._model = ""
        self.stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
        self.ended = False

    async def _send(self, type_: str, **members: Any) -> None:
        if not self.stream.prepared:
            await self.stream.prepare(self._request)
            await self._send("response.created", response={"id": self._id})
        text = msgspec.json.encode({"type": type_, **members}).decode()
        await self.stream.write(f"event: {type_}\ndata: {text}\n\n".encode())

    async def play(self, step: Step) -> None:
        match step:
            case Say():
                await self._say(step)
            case Think():
                await self._think(step)
            case Call():
                item = {"type": "function_call", "id": f"fc_{step.call_id}", "call_id": step.call_id}
                group = {"namespace": step.namespace} if step.namespace else {}
                await self._whole(item | group | {"name": step.name, "arguments": step.arguments})
            case Raw():
                await self._whole(step.item)
            case Count():
                self._usage = step
            case Fail():
                error = {"code": step.code, "message": step.message}
                await self._send("response.failed", response={"id": self._id, "error": error})
                self.ended = True
            case Cut():
                if self._request.transport is not None:
                    self._request.transport.abort()
                self.ended = True
            case Refuse():
                raise ValueError("Refuse must be the first step of a script")

    async def _whole(self, item: dict[str, Any]) -> None:
        await self._send("response.output_item.added", output_index=0, item=item)
        await self._send("response.output_item.done", output_index=0, item=item)

    async def _say(self, step: Say) -> None:
        item: dict[str, Any] = {"type": "message", "role": "assistant", "id": f"msg_{self._id}_{next(self._numbers)}"}
        if step.phase is not None:
            item["phase"] = step.phase
        await self._send("response.output_item.added", output_index=0, item=item | {"content": []})
        for piece in step.pieces:
            await self._send("response.output_text.delta", item_id=item["id"], output_index=0, content_index=0, delta=piece)
            if step.pace:
                await asyncio.sleep(step.pace)
        content = [{"type": "output_text", "text": "".join(step.pieces)}]
        await self._send("response.output_item.done", output_index=0, item=item | {"content": content})

    async def _think(self, step: Think) -> None:
        item: dict[str, Any] = {"type": "reasoning", "id": f"rs_{self._id}_{next(self._numbers)}"}
        await self._send("response.output_item.added", output_index=0, item=item | {"summary": []})
        for index, text in enumerate(step.summary):
            place = {"item_id": item["id"], "output_index": 0, "summary_index": index}
            await self._send("response.reasoning_summary_part.added", **place)
            await self._send("response.reasoning_summary_text.delta", **place, delta=text)
        item["summary"] = [{"type": "summary_text", "text": text} for text in step.summary]
        if step.encrypted is not None:
            item["encrypted_content"] = step.encrypted
        await self._send("response.output_item.done", output_index=0, item=item)

    async def complete(self) -> None:
        count = self._usage
        usage = {
            "input_tokens": count.input,
            "input_tokens_details": {"cached_tokens": count.cached},
            "output_tokens": count.output,
            "output_tokens_details": {"reasoning_tokens": count.reasoning},
            "total_tokens": count.input + count.output,
        }
        await self._send("response.completed", response={"id": self._id, "usage": usage})
        self.ended = True
