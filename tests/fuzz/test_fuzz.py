"""Thousands of wrong and half-wrong requests, the same in every run, to the installed server: it refuses them and lives on."""

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from codex_proxy.demo.model import ModelServer
from codex_proxy.web import openapi
from tests.conftest import RunningCommand
from tests.fuzz.mutations import damaged
from tests.fuzz.target import ANSWERED_WITHIN, KEY, Target
from tests.support.long_run import often
from tests.support.sessions import http_session

_RECORDED = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "requests").glob("*.json"))}
_PATHS = {
    "responses": "/v1/responses",
    "responses_parse": "/v1/responses",
    "completions": "/v1/completions",
    "conversations": "/v1/conversations",
    "input_tokens": "/v1/responses/input_tokens",
    "compact": "/v1/responses/compact",
}
_JSON = {"Content-Type": "application/json"}
_SEED = 20_250
_ENDLESS = "/x_codex/events"
_DAMAGED, _FROM_A_STRANGER = often(1000, 4000), often(100, 400)
_MESSAGES = often(250, 1000)
_LAST_EVENTS = ("response.completed", "response.incomplete", "response.failed", "response.steer.failed", "error")
_CASES = often(12, 60)  # for each operation and mode
_CHECKS = [  # not that what fits the document is taken: no schema can say that each tool call has its result
    *(checks.status_code_conformance, checks.content_type_conformance),
    *(checks.response_schema_conformance, checks.negative_data_rejection),
]
_ANYTHING = list(HealthCheck)
_WARM = 500  # requests after which memory should have its size
_MAY_GROW = 64.0  # MB

AnyCase = Case[Any]  # Any: of whatever operation
StartCommand = Callable[[], Awaitable[RunningCommand]]


@asynccontextmanager
async def sound_target(
    start_command: StartCommand, environ: dict[str, str], model: ModelServer, capfd: pytest.CaptureFixture[str]
) -> AsyncIterator[Target]:
    """A server that in the end has done nothing wrong, logged no bug, and still serves."""
    environ |= {"PROXY_API_KEY": KEY, "PROXY_STORE": "memory", "PROXY_STORE_MAX_MB": "4", "LOG_LEVEL": "warning"}
    command = await start_command()
    async with httpx.AsyncClient(timeout=ANSWERED_WITHIN, trust_env=False) as http:
        target = Target(command.address, command.process.pid, model, http)
        yield target
        assert target.wrong == [], f"{len(target.wrong)} of {target.asked}"
        assert (await target.ask("POST", "/v1/chat/completions", _RECORDED["openai_sdk_chat"], _JSON)).status_code == 200
    assert await command.stop() == 0
    log = capfd.readouterr().err
    assert "Traceback" not in log, log
    assert "bug" not in log, log


@pytest.mark.slow
async def test_damaged_requests_of_real_clients_are_refused_or_served(
    start_command: StartCommand, environ: dict[str, str], model: ModelServer, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(_SEED)
    bodies = list(_RECORDED.values())
    async with sound_target(start_command, environ, model, capfd) as target:
        for name, body in _RECORDED.items():
            assert (await target.ask("POST", _path(name), body, _JSON)).status_code == 200, name
        early = 0.0
        for number in range(_DAMAGED):
            name, body = chance.choice(list(_RECORDED.items()))
            await target.ask("POST", _path(name), damaged(chance, body, bodies), _JSON)
            early = early or (target.memory() if number > _WARM else 0.0)
        assert target.memory() - early < _MAY_GROW
        for _ in range(_FROM_A_STRANGER):
            name, body = chance.choice(list(_RECORDED.items()))
            await target.ask_as_stranger(chance, "POST", _path(name), chance.choice((body, damaged(chance, body, bodies))))
        assert target.turns < _DAMAGED / 4


@pytest.mark.slow
async def test_damaged_messages_leave_their_socket_usable(
    start_command: StartCommand, environ: dict[str, str], model: ModelServer, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(_SEED)
    steer = b'{"type":"response.steer","previous_response_id":"resp_1","input":[{"role":"user","content":"more"}]}'
    asked = [b'{"type":"response.create","stream_id":"a",' + body[1:] for name, body in _RECORDED.items() if "responses" in name]
    bodies = [*asked, steer]
    async with sound_target(start_command, environ, model, capfd) as target, http_session() as http:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with http.ws_connect(f"{target.address}/v1/responses", headers=headers) as socket:
            broken = (damaged(chance, chance.choice(bodies), bodies) if at % 25 else asked[0] for at in range(_MESSAGES))
            for message in itertools.chain(bodies, broken):  # fifty in a row that are refused would close the socket
                await socket.send_frame(message, aiohttp.WSMsgType.TEXT)
                async with asyncio.timeout(ANSWERED_WITHIN):
                    event = json.loads(await socket.receive_str())
                    while event["type"] not in _LAST_EVENTS:
                        event = json.loads(await socket.receive_str())
                assert event.get("status", 0) < 500, (message, event)


@pytest.mark.slow
async def test_what_the_document_allows_and_forbids_is_answered_as_it_says(
    start_command: StartCommand, environ: dict[str, str], model: ModelServer, capfd: pytest.CaptureFixture[str]
) -> None:
    async with sound_target(start_command, environ, model, capfd) as target:
        for case in _cases():
            asked = requests.Request(**case.as_transport_kwargs(base_url=target.address)).prepare()
            assert isinstance(asked.body, bytes | None)
            headers = {name: str(value) for name, value in asked.headers.items()}
            answer = await target.ask(case.method, asked.path_url, asked.body or b"", headers)
            case.validate_response(answer, checks=_CHECKS)
        assert target.asked > _CASES * 10
        assert target.turns > 0


def _path(name: str) -> str:
    return next((path for end, path in _PATHS.items() if name.endswith(end)), "/v1/chat/completions")


def _cases() -> Iterator[AnyCase]:
    """What schemathesis makes of our document: for each operation, requests that fit it and requests that do not."""
    schema = schemathesis.openapi.from_dict(_readable(json.loads(openapi.document())))
    for operation, mode in itertools.product(schema.get_all_operations(), GenerationMode):
        yield from _made(operation.ok().as_strategy(generation_mode=mode))


def _readable(document: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    """The document as schemathesis reads it: without the stream that never ends, each event described as OpenAPI 3.2 does.

    In 3.1 the schema of a stream is that of its whole text; schemathesis takes it for that of each event.
    """
    paths = {path: operations for path, operations in document["paths"].items() if path != _ENDLESS}
    assert len(paths) == len(document["paths"]) - 1
    for operation in itertools.chain.from_iterable(operations.values() for operations in paths.values()):
        stream = operation["responses"].get("200", {"content": {}})["content"].get("text/event-stream")
        if stream is not None:
            del stream["schema"]
            payload = {"contentMediaType": "application/json", "contentSchema": stream["x-event-schema"]}
            data = {"anyOf": [{"const": "[DONE]"}, payload]}
            stream["itemSchema"] = {"type": "object", "required": ["data"], "properties": {"data": data}}
    return document | {"paths": paths}


def _made(strategy: SearchStrategy[AnyCase]) -> list[AnyCase]:
    """What a strategy makes, none where it has nothing to make it of, as of a path without parameters a wrong one."""
    made: list[AnyCase] = []

    @hypothesis.seed(_SEED)
    @hypothesis.settings(
        max_examples=_CASES, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=_ANYTHING
    )
    @hypothesis.given(strategy)
    def collect(case: AnyCase) -> None:
        made.append(case)

    with contextlib.suppress(Unsatisfiable):
        collect()
    return made
