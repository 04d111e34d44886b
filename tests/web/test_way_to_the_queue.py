"""How many of our modules a plain stored request enters before its turn is queued: bounds, so that the way grows knowingly."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import codex_proxy
from tests.conftest import Proxy

_ROOT = codex_proxy.__path__[0] + "/"
_ALL_MOST = 55  # with the store, the values and what lies below: settings, errors, logs, keys, outcome …; 51 when this was written
_ON_THE_WAY_MOST = 38  # of those that decide something about the request; 35 when this was written, 14 was the aim
_ON_THE_WAY = ("web/", "dialects/", "lifecycle/", "policy.py", "catalog.py", "jobs.py")
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
    deciding = [module for module in found if module.startswith(_ON_THE_WAY)]
    print(f"{len(found)} modules, of which {len(deciding)} decide something:", *deciding)
    assert len(found) <= _ALL_MOST, found
    assert len(deciding) <= _ON_THE_WAY_MOST, deciding
    assert {module for module in deciding if module in _LIFE or module.startswith("lifecycle/")} == _LIFE
