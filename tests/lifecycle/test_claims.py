"""Claims of idempotency keys that the store loses before the turn begins."""

import pytest

from codex_proxy.errors import IdempotencyConflict
from codex_proxy.lifecycle.claims import Claims, Held
from codex_proxy.lifecycle.outbox import Outbox
from codex_proxy.store.memory import MemoryStore


async def _entered(claims: Claims) -> Held:
    held = await claims.enter("anna", "/v1/responses", "key", "of the body")
    assert isinstance(held, Held)
    return held


async def test_a_claim_that_is_lost_before_it_is_bound_is_made_again_unless_another_has_it() -> None:
    """As after a flush, or a lease that has expired: nobody came first, so nothing says so."""
    store = MemoryStore(3600, 1_000_000)
    claims = Claims(store, Outbox(), 0.05)
    first = await _entered(claims)
    [key] = store._claims
    await store.release(key, first.holder)
    await first.bind(None)
    with pytest.raises(IdempotencyConflict, match="not run again"):
        await _entered(claims)
    await store.release(key, first.holder)
    second = await _entered(claims)
    with pytest.raises(IdempotencyConflict, match="came first"):
        await first.bind(None)
    await second.bind(None)
