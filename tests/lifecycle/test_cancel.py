"""A cancel that meets the end of its response, or a record that goes, tells what is so."""

import asyncio

import pytest

from codex_proxy import tasks
from codex_proxy.errors import ResponseNotFound
from codex_proxy.lifecycle.background import cancelled
from codex_proxy.store.memory import MemoryStore
from tests.store.contract import ROOMY, TTL, a_record, change, ended, put


async def test_a_cancel_that_comes_just_too_late_tells_the_end() -> None:
    store = MemoryStore(TTL, ROOMY)
    record = a_record()
    await put(store, record)
    await store.update(change(ended(record)))
    assert await cancelled(store, "anna", record) == ended(record)


async def test_a_cancel_whose_record_goes_meanwhile_says_so() -> None:
    store = MemoryStore(TTL, ROOMY)
    await put(store, a_record())
    cancel = tasks.spawn("cancel", cancelled(store, "anna", a_record()))
    while not (found := await store.get("anna", "resp_1")) or not found.cancel_wanted:
        await asyncio.sleep(0)
    await store.delete("anna", "resp_1")
    async with asyncio.timeout(5):
        with pytest.raises(ResponseNotFound):
            await cancel
