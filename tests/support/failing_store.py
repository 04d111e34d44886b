"""A store that fails when it is told to: at one call, or for some time from one call on."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Literal, cast, get_args

from codex_proxy.errors import StoreUnavailable
from codex_proxy.store.base import Store

How = Literal["refused", "answer lost", "hangs"]
HANGS_FOR = 5.0  # seconds, like a Redis that is stopped
SLOW = 1.0  # seconds


class FailingStore:
    """Stands before a store. `calls` are counted from 1 on, those of the heart too.

    Calls that fail by name: `broken` are refused, of those `lost` only the answer is; `slow` ones take a second more. The next
    answer of each of `nonsense` cannot be read.
    """

    def __init__(self, store: Store) -> None:
        self.broken: set[str] = set()
        self.lost: set[str] = set()
        self.slow: set[str] = set()
        self.nonsense: set[str] = set()
        self.calls: list[str] = []
        self._store = store
        self._how: How = "refused"
        self._from = 0
        self._lasts = 0.0
        self._over_at: float | None = None
        self._chances: tuple[random.Random, float, float] | None = None  # how often, until when

    def fail(self, number: int, how: How, lasts: float = 0.0) -> None:
        """Fail at this call; where it `lasts`, at all calls of so many seconds from then on."""
        self._from, self._how, self._lasts = len(self.calls) + number, how, lasts

    def fail_at_random(self, seed: int) -> None:
        """Fail at some calls, for 5 s to a minute from now on; how often and how is the seed's."""
        chance = random.Random(seed)
        until = asyncio.get_running_loop().time() + chance.choice([5.0, 20.0, 60.0])
        self._chances = chance, chance.choice([0.1, 0.3, 0.5, 0.7]), until

    @property
    def failed(self) -> bool:
        return 0 < self._from <= len(self.calls)

    @property
    def as_store(self) -> Store:
        return cast(Store, self)  # all that a Store has is async

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:  # Any: of each method its own
        method = getattr(self._store, name)

        async def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if name in self.nonsense:
                self.nonsense.remove(name)
                raise TypeError("cannot unpack")
            how = self._fails(name)
            answer = None if how in ("refused", "hangs") else await method(*arguments)
            if how is None:
                await asyncio.sleep(SLOW if name in self.slow else 0)
                return answer
            if how == "hangs":
                await asyncio.sleep(HANGS_FOR)
            raise StoreUnavailable("The store is not available.")

        return call

    def _fails(self, name: str) -> How | None:
        now = asyncio.get_running_loop().time()
        if self._chances is not None:
            chance, share, until = self._chances
            if now < until and chance.random() < share:
                return chance.choice(get_args(How))
        if len(self.calls) == self._from:
            self._over_at = now + self._lasts
            return self._how
        if self._over_at is not None and now < self._over_at:
            return self._how
        if name in self.broken:
            return "refused"
        return "answer lost" if name in self.lost else None
