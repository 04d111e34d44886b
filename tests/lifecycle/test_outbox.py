"""The outbox: a write is tried until it is done, or does not matter any more, and a stop is bounded."""

import asyncio

import pytest

from codex_proxy.errors import StoreUnavailable
from codex_proxy.lifecycle.outbox import Outbox
from tests.support import virtual_time


class _Write:
    """Fails so many times; `at`: when it was tried, in seconds since the first time."""

    def __init__(self, failures: float, error: Exception | None = None) -> None:
        self.at: list[float] = []
        self._left = failures
        self._error = error or StoreUnavailable("It does not work.")
        self._began = asyncio.get_running_loop().time()

    async def __call__(self) -> None:
        self.at.append(round(asyncio.get_running_loop().time() - self._began, 1))
        self._left -= 1
        if self._left >= 0:
            raise self._error


@pytest.mark.parametrize("error", [None, TypeError("cannot unpack")])
def test_a_write_is_tried_again_a_moment_later_and_then_with_every_beat(error: Exception | None) -> None:
    async def main() -> None:
        outbox, write = Outbox(), _Write(3, error)
        outbox.put("it", write)
        for _ in range(5):
            await asyncio.sleep(4)
            outbox.beat()
        await asyncio.sleep(1)
        assert write.at == [0.0, 0.1, 4.0, 8.0]
        assert outbox.size == 0

    virtual_time.run(main())


def test_what_does_not_matter_any_more_is_given_up_even_if_no_beat_comes() -> None:
    async def main() -> None:
        outbox, write = Outbox(), _Write(1000)
        outbox.put("it", write, patience=60)
        await asyncio.sleep(59)
        assert outbox.size == 1
        await asyncio.sleep(2)
        assert outbox.size == 0

    virtual_time.run(main())


def test_a_stop_tries_all_once_more_and_waits_no_longer_than_it_may() -> None:
    async def main() -> None:
        outbox, soon, never = Outbox(), _Write(2), _Write(1000)
        outbox.put("soon", soon)
        outbox.put("never", never)
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await outbox.close(10)
        assert outbox.size == 0
        assert len(soon.at) == 3
        assert 9 < asyncio.get_running_loop().time() - began < 11

    virtual_time.run(main())
