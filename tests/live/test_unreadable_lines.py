"""What the CLI cannot read: it answers on stderr, or with an error, and the request that brought it is at fault, not the worker.

The bounds of the dialects keep all of this out; so the turns here go to a worker past them.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest

from codex_proxy import settings
from codex_proxy.codex import command
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.codex.worker import Worker
from codex_proxy.demo.home import Home
from codex_proxy.errors import ContextTooLong, InvalidRequest
from codex_proxy.history import Message, Text, Verbatim
from codex_proxy.turns import Tool, Turn, TurnCompleted
from tests.conftest import TURN_LIMIT

_SOON = 10.0  # seconds: less than every deadline of a request to the CLI
_DEEP = '{"a":' * 130 + "1" + "}" * 130
_HUGE = '{"type":"object","maximum":18446744073709551616}'


@pytest.fixture
async def worker(environ: dict[str, str], home: Home, no_leftovers: None) -> AsyncIterator[Worker]:
    found, _ = settings.load(environ | {"CODEX_DEFAULT_MODE": "chat"}, home.root)
    async with Worker.started(command.find(found), found, asyncio.Lock(), OpenThreads(), "chat") as started:
        yield started


async def test_what_a_request_brings_and_codex_cannot_read_is_refused_and_the_worker_goes_on(worker: Worker, home: Home) -> None:
    plain = Turn("t", "gpt-5.5", None, "chat", "read-only", False, os.fspath(home.workdir), (), (Text("hi"),))
    tool = Tool("f", "", "{}")
    refused = [
        (msgspec.structs.replace(plain, tools=(msgspec.structs.replace(tool, parameters=_DEEP),)), InvalidRequest, "tools"),
        (msgspec.structs.replace(plain, tools=(msgspec.structs.replace(tool, parameters=_HUGE),)), InvalidRequest, "tools"),
        (msgspec.structs.replace(plain, output_schema=_DEEP), InvalidRequest, None),
        (msgspec.structs.replace(plain, output_schema=_HUGE), InvalidRequest, None),
        (msgspec.structs.replace(plain, history=(Verbatim('{"type":"message","role":"nobody"}'),)), InvalidRequest, "messages"),
        (msgspec.structs.replace(plain, input=(Text("x" * 1_048_577),)), ContextTooLong, "messages"),
    ]
    for turn, error, param in refused:
        async with asyncio.timeout(_SOON):
            with pytest.raises(error) as raised:
                await _run(worker, turn)
        assert raised.value.param == param
        assert not worker.spent
        assert not worker.gone.is_set()
    said = (Message("user", (Text("hello"),)),) * 20_000
    async with asyncio.timeout(TURN_LIMIT):
        await _run(worker, msgspec.structs.replace(plain, history=said))
    assert not worker.spent


async def _run(worker: Worker, turn: Turn) -> None:
    async with aclosing(worker.run(turn)) as events:
        ends = [event async for event in events][-1:]
    assert isinstance(ends[0], TurnCompleted), ends
