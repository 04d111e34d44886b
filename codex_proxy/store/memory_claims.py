"""The claims of the memory store: idempotency keys in use, and their answers."""

import time
from collections import Counter

import msgspec

from codex_proxy.store.base import Claim


class _Claimed(msgspec.Struct):
    """A claim with its owner, its holder, and its end on the monotonic clock."""

    owner: str
    holder: str
    ends_at: float
    claim: Claim
    number: int = 0  # order of arrival of the answer

    @property
    def size(self) -> int:
        return len(self.claim.answer or b"")


class MemoryClaims:
    """The claims of a memory store. `sizes` is the store's count of bytes by owner."""

    def __init__(self, sizes: Counter[str]) -> None:
        self._all: dict[str, _Claimed] = {}
        self._sizes = sizes

    def claim(self, key: str, owner: str, fingerprint: str, holder: str, lease: float) -> Claim | None:
        now = time.monotonic()
        for old in [old for old, claimed in self._all.items() if claimed.ends_at < now]:
            self._sizes[self._all[old].owner] -= self._all.pop(old).size
        claimed = self._all.setdefault(key, _Claimed(owner, holder, now + lease, Claim(fingerprint, holder=holder)))
        return None if claimed.holder == holder else claimed.claim

    def bind(self, key: str, holder: str, ttl: float, response_id: str | None) -> bool:
        if (claimed := self._held(key, holder)) is None:
            return False
        claimed.ends_at = time.monotonic() + ttl
        claimed.claim = msgspec.structs.replace(claimed.claim, response_id=response_id)
        return True

    def answer(self, key: str, holder: str, answer: bytes, number: int) -> bool:
        """Keep an answer; `number` is its place in the order of arrival. Returns False if the holder does not have the key."""
        if (claimed := self._held(key, holder)) is None:
            return False
        claimed.number = number
        self._replace(claimed, answer)
        return True

    def release(self, key: str, holder: str) -> bool:
        claimed = self._held(key, holder)
        if claimed is None or claimed.claim.answer is not None:
            return False
        del self._all[key]
        return True

    def forget_oldest(self, owner: str, before: float) -> bool:
        """Forget an owner's oldest answer, if it came before this number. The claim stays, or a command would run again."""
        answered = (one for one in self._all.values() if one.owner == owner and one.claim.answer)
        oldest = min(answered, key=lambda one: one.number, default=None)
        if oldest is None or oldest.number > before:
            return False
        self._replace(oldest, b"")
        return True

    def _held(self, key: str, holder: str) -> _Claimed | None:
        claimed = self._all.get(key)
        return claimed if claimed is not None and claimed.holder == holder else None

    def _replace(self, claimed: _Claimed, answer: bytes) -> None:
        self._sizes[claimed.owner] += len(answer) - claimed.size
        claimed.claim = msgspec.structs.replace(claimed.claim, answer=answer)
