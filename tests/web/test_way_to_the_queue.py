"""How many of our modules a plain stored request enters before its turn is queued: bounds, so that the way grows knowingly.

Counted like this, 0.1.0 entered 22: 13 on the way and 9 that decode and decide.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import codex_proxy
from tests.conftest import Proxy

_ROOT = codex_proxy.__path__[0] + "/"
_AT_MOST = 14  # that pass the request on: wait, hold a state, or know HTTP
_PURE_MOST = 22  # that only decode and decide, without waiting
_ON_THE_WAY = ("web/", "lifecycle/", "jobs.py")
_PURE = ("dialects/", "policy.py", "catalog.py")
_LIFE = {"web/responses.py", "web/idempotency.py", "lifecycle/run.py"}  # that know of the response's record


class _Entered:
    """Modules whose functions a task has run, up to its call of `submit`."""

    def __init__(self) -> None:
        self.of: dict[asyncio.Task[Any] | None, dict[str, None]] = {}
        self.queued_by: asyncio.Task[Any] | None = None

    def note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if self.queued_by is not None or event not in ("call", "return") or not code.co_filename.startswith(_ROOT):
            return
        task, module = asyncio.current_task(), code.co_filename.removeprefix(_ROOT)
        if event == "call":
            self.of.setdefault(task, {})[module] = None
        elif code.co_qualname == "JobQueue.submit":
            self.queued_by = task

    @property
    def on_the_way(self) -> list[str]:
        return [*self.of[self.queued_by]]


@contextmanager
def _watched() -> Iterator[_Entered]:
    entered = _Entered()
    sys.setprofile(entered.note)
    try:
        yield entered
    finally:
        sys.setprofile(None)


async def test_a_plain_stored_request_enters_so_many_modules_on_its_way_to_the_queue(proxy: Proxy) -> None:
    url, body = f"{proxy.base_url}/responses", {"input": "hi"}
    assert (await proxy.http.post(url, json=body)).status == 200  # what is made once is made
    with _watched() as entered:
        assert (await proxy.http.post(url, json=body)).status == 200
    found = entered.on_the_way
    on_the_way = [module for module in found if module.startswith(_ON_THE_WAY)]
    pure = [module for module in found if module.startswith(_PURE)]
    print(f"{len(on_the_way)} modules:", *on_the_way, f"\n{len(pure)} that decode and decide:", *pure)
    assert len(on_the_way) <= _AT_MOST, on_the_way
    assert len(pure) <= _PURE_MOST, pure
    assert {module for module in on_the_way if module in _LIFE or module.startswith("lifecycle/")} == _LIFE
