"""When the server counts as hanging, so that systemd's watchdog is not fed: never by waiting, surely past every deadline."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from codex_proxy.supervisor import Supervisors
from tests.conftest import TURN_LIMIT, Proxy

_LONGEST_TURN = 120.0  # seconds, the default
_LONG = 1000.0


def _hanging(supervisors: Supervisors, later: float) -> bool:
    """Whether they would count as hanging so many seconds later, if all stayed as it is."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(loop, "time", lambda: now + later)
        return supervisors.hanging


async def test_waiting_for_a_turn_is_no_hanging_and_a_turn_past_its_deadline_is(proxy: Proxy, model: ModelServer) -> None:
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        asked.set()
        await let_go.wait()
        yield Say(words("done"))

    model.script = script
    supervisors = proxy.server.supervisors
    async with asyncio.timeout(TURN_LIMIT):
        while _hanging(supervisors, _LONG):  # the last of them still starts its worker
            await asyncio.sleep(0.01)
        asking = asyncio.ensure_future(proxy.chat(prompt="wait"))
        await asked.wait()
        assert supervisors.running == 1
        assert not _hanging(supervisors, _LONGEST_TURN + 60)
        assert _hanging(supervisors, _LONG)
        let_go.set()
        assert (await asking).status == 200
