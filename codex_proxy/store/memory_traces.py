"""The traces of the memory store: what is left of conversations, for their next turns."""

import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from codex_proxy.store.base import StoredTrace


class _Trace(msgspec.Struct, frozen=True):
    """A trace. An empty `identity` means that two conversations share the name."""

    owner: str
    identity: str
    content: bytes
    ends_at: float  # on the monotonic clock


class MemoryTraces:
    """The traces of a memory store. `sizes` is the store's count of bytes by owner."""

    def __init__(self, sizes: Counter[str]) -> None:
        self._all: dict[str, _Trace] = {}  # oldest first
        self._sizes = sizes

    def keep(self, owner: str, name: str, identity: str, content: bytes, ttl: float, instead: str) -> None:
        self.forget_old()
        ends_at = time.monotonic() + ttl
        there = self._all.get(name)
        if there is None:
            self._put(name, _Trace(owner, identity, content, ends_at))
        elif there.identity != identity:
            self._forget(name)
            self._put(name, _Trace(owner, "", b"", ends_at))
        former = self._all.get(instead)
        if former is not None and former.owner == owner and former.identity:
            self._forget(instead)

    def find(self, owner: str, names: Sequence[str]) -> StoredTrace:
        self.forget_old()
        own = {name: one for name in names if (one := self._all.get(name)) is not None and one.owner == owner}
        ambiguous = frozenset(name for name, one in own.items() if not one.identity)
        name = next((name for name in own if name not in ambiguous), "")
        return StoredTrace(name, own[name].content if name else b"", ambiguous)

    def forget_old(self) -> None:
        now = time.monotonic()
        for name in [name for name, one in self._all.items() if one.ends_at < now]:
            self._forget(name)

    def forget_oldest(self, owner: str) -> bool:
        """Forget an owner's oldest trace. Returns False if there is none."""
        name = next((name for name, one in self._all.items() if one.owner == owner and one.content), None)
        if name is not None:
            self._forget(name)
        return name is not None

    def _put(self, name: str, trace: _Trace) -> None:
        self._all[name] = trace
        self._sizes[trace.owner] += len(trace.content)

    def _forget(self, name: str) -> None:
        gone = self._all.pop(name)
        self._sizes[gone.owner] -= len(gone.content)
