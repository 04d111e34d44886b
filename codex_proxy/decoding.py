"""Run the work on large bodies in a thread, one body at a time, so that other requests are served meanwhile.

One at a time limits memory: a decoded body takes many times its size. For a small body, handing it to the thread would take
longer than the work.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_SWITCH_INTERVAL = 0.001  # seconds until the thread must yield the GIL when the event loop requests it; Python's default is 0.005
_SMALL = 32_768  # bytes: a few milliseconds of the event loop, whatever they contain


class Decoding:
    """Owns the decoding thread, which starts with the first large body and ends with `close`."""

    def __init__(self) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        self._thread = ThreadPoolExecutor(1, "decoding")

    async def run(self, size: int, work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Run `work` on a body of `size` bytes, in the thread if that is large. Raises what `work` raises."""
        if size <= _SMALL:
            return work(*arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*arguments, **named))

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
