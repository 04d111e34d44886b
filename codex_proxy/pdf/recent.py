"""The pages of PDF files that were read a moment ago: a client repeats its files with every request of a conversation."""

import asyncio
import time
from collections import OrderedDict

import msgspec

_MOST_BYTES = 32 * 1024 * 1024
_SECONDS = 600.0  # since the last use


class Page(msgspec.Struct, frozen=True):
    """The text of a page, and its picture: a JPEG, as a data: URL."""

    text: str
    image: str


class RecentFiles:
    """Keeps the pages of files in memory, at most `most` bytes and for `seconds` after their last use."""

    def __init__(self, most: int = _MOST_BYTES, seconds: float = _SECONDS) -> None:
        self.bytes = 0
        self._most = most
        self._seconds = seconds
        self._kept: OrderedDict[bytes, tuple[float, list[Page]]] = OrderedDict()  # least recently used first
        self._timer: asyncio.TimerHandle | None = None

    def get(self, key: bytes) -> list[Page] | None:
        if key not in self._kept:
            return None
        _, pages = self._kept.pop(key)
        self._kept[key] = (time.monotonic(), pages)
        return pages

    def put(self, key: bytes, pages: list[Page]) -> None:
        """Keep the pages of a file, unless they alone are too large."""
        if key in self._kept or (size := _size(pages)) > self._most:
            return
        self._kept[key] = (time.monotonic(), pages)
        self.bytes += size
        while self.bytes > self._most:
            self._drop_oldest()
        if self._timer is None:
            self._look_again(self._seconds)

    def _drop_oldest(self) -> None:
        _, (_, pages) = self._kept.popitem(last=False)
        self.bytes -= _size(pages)

    def _look_again(self, after: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(after, self._drop_unused)

    def _drop_unused(self) -> None:
        while self._kept and (left := self._oldest + self._seconds - time.monotonic()) <= 0:
            self._drop_oldest()
        self._timer = None
        if self._kept:
            self._look_again(left)

    @property
    def _oldest(self) -> float:
        used, _ = next(iter(self._kept.values()))
        return used


def _size(pages: list[Page]) -> int:
    return sum(len(page.text) + len(page.image) for page in pages)
