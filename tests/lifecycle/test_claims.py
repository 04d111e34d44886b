"""Claims of idempotency keys: those that the store loses before the turn begins, and those whose instance has died."""

import asyncio

import pytest

from codex_proxy import tasks
from codex_proxy.errors import IdempotencyConflict
from codex_proxy.lifecycle.claims import Claims, Held
from codex_proxy.lifecycle.outbox import Outbox
from codex_proxy.store.base import Record
from codex_proxy.store.memory import MemoryStore
from tests.support import virtual_time


async def _entered(claims: Claims) -> Held:
    held = await claims.enter("anna", "/v1/responses", "key", "of the body")
    assert isinstance(held, Held)
    return held


async def test_a_claim_that_is_lost_before_it_is_bound_is_made_again_unless_another_has_it() -> None:
    """As after a flush, or a lease that has expired: nobody came first, so nothing says so."""
    store = MemoryStore(3600, 1_000_000)
    claims = Claims(store, Outbox(), 0.05, "here")
    first = await _entered(claims)
    [key] = store._claims._all
    await store.release(key, first.holder)
    await first.bind(None)
    with pytest.raises(IdempotencyConflict, match="not run again"):
        await _entered(claims)
    await store.release(key, first.holder)
    second = await _entered(claims)
    with pytest.raises(IdempotencyConflict, match="came first"):
        await first.bind(None)
    await second.bind(None)


@pytest.mark.parametrize("background", [None, True])
def test_a_key_of_a_turn_that_was_refused_after_all_is_free_and_not_answered_by_its_record(background: bool | None) -> None:
    """Nobody told the first request that the key was bound; the record is there a while longer than the key, or the other way."""

    async def main() -> None:
        store = MemoryStore(3600, 1_000_000)
        claims = Claims(store, Outbox(), 3600, "here")
        first = await _entered(claims)
        await first.bind("resp_1")
        if background:
            body = b'{"background":true}'
            await store.create(Record(id="resp_1", owner="anna", created_at=0, status="queued", body=body), b"[]", b"[]")
        again = tasks.spawn("repetition", _entered(claims))
        await asyncio.sleep(4)
        assert not again.done()
        [key] = store._claims._all
        await store.release(key, first.holder)
        await again

    virtual_time.run(main())


def test_a_key_whose_instance_died_is_told_so_soon() -> None:
    """Nobody waits for as long as a turn may take."""

    async def main() -> None:
        store = MemoryStore(3600, 1_000_000)
        first = await _entered(Claims(store, Outbox(), 3600, "dead"))
        await first.bind(None)
        began = asyncio.get_running_loop().time()
        with pytest.raises(IdempotencyConflict, match="left no answer"):
            await _entered(Claims(store, Outbox(), 3600, "here"))
        assert asyncio.get_running_loop().time() - began < 80

    virtual_time.run(main())
