"""What goes wrong in an hour of bad luck: processes killed and stopped, the model's and the store's faults, clients that leave."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

from codex_proxy.codex import warden
from codex_proxy.demo.steps import Cut, Fail, ModelRequest, Refuse, Say, Step
from tests.conftest import RunningCommand, children_of, processes_with
from tests.support.redis_server import RedisServer

PIECES = 12  # of an answer
PACE = 0.01  # seconds between two of them
SILENCE = 300.0  # seconds: for ever
STORE_AWAY = 3.0  # seconds at most, that the store is stopped or down
TROUBLE = 0.3  # the share of the model's answers that go wrong, while there is trouble


class Model:
    """The script of a model that answers with the token of the prompt, `PIECES` times, if nothing goes wrong."""

    def __init__(self, chance: random.Random) -> None:
        self.trouble = False
        self._chance = chance

    async def script(self, request: ModelRequest) -> AsyncIterator[Step]:
        fault = self._chance.choice(("refuse", "cut", "fail", "silence")) if self._goes_wrong() else None
        pieces = pieces_of(request.prompt)
        if fault == "refuse":
            yield Refuse(500)
        elif fault == "fail":
            yield Fail("server_error")
        elif fault is not None:
            yield Say(pieces[: self._chance.randrange(PIECES)], PACE)
            if fault == "silence":
                await asyncio.sleep(SILENCE)
            yield Cut()
        yield Say(pieces, PACE)

    def _goes_wrong(self) -> bool:
        return self.trouble and self._chance.random() < TROUBLE


def pieces_of(token: str) -> tuple[str, ...]:
    """The answer to a prompt."""
    return tuple(f"{token}.{number} " for number in range(PIECES))


class Nemesis:
    """Does something bad every now and then. `server`: the running one, while there is one."""

    def __init__(self, chance: random.Random, start: Callable[[], Awaitable[RunningCommand]], store: RedisServer) -> None:
        self.server: RunningCommand
        self.done: dict[str, int] = {}
        self._chance = chance
        self._start = start
        self._store = store

    async def rage(self, seconds: float, every: float) -> None:
        """Do bad things for so long, at random about so many seconds apart; the server runs in the end."""
        often = (self.kill_cli, self.stop_cli, self.kill_warden) * 5
        deeds = (*often, self.stop_store, self.kill_store, self.restart)  # which take some seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds) as limit:
                while True:
                    await asyncio.sleep(self._chance.expovariate(1 / every))
                    deed = self._chance.choice(deeds)
                    self.done[deed.__name__] = self.done.get(deed.__name__, 0) + 1
                    due = limit.when()
                    limit.reschedule(None)  # no deed is left half done
                    await deed()
                    limit.reschedule(due)

    async def kill_cli(self) -> None:
        self._signal_one(self._clis(), signal.SIGKILL)

    async def stop_cli(self) -> None:
        self._signal_one(self._clis(), signal.SIGSTOP)

    async def kill_warden(self) -> None:
        self._signal_one(self._wardens(), signal.SIGKILL)

    async def restart(self) -> None:
        """SIGTERM, and a new server once the old one has ended."""
        assert await self.server.stop() == 0
        self.server = await self._start()

    async def stop_store(self) -> None:
        """It hangs for a while, and then does what it was asked for meanwhile."""
        self._store.freeze()
        await asyncio.sleep(self._chance.random() * STORE_AWAY)
        self._store.thaw()

    async def kill_store(self) -> None:
        """It crashes, and comes back after a while with all that it had said to have kept."""
        await self._store.kill()
        await asyncio.sleep(self._chance.random() * STORE_AWAY)
        await self._store.start()

    def _wardens(self) -> list[int]:
        return sorted(set(processes_with(warden.__file__)) & set(children_of(self.server.process.pid)))

    def _clis(self) -> list[int]:
        return sorted(set(children_of(self.server.process.pid)) - set(self._wardens()))

    def _signal_one(self, pids: list[int], number: signal.Signals) -> None:
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(pids), number)
