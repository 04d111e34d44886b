"""Decoding: the work on a large body, in a thread, so that others are served meanwhile; one body at a time.

One at a time bounds the memory: a body takes many times its size while it is an object. A small one is quicker done than
handed over.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_SWITCH_INTERVAL = 0.001  # seconds until the thread gives way to the loop, which asks for that at each call; usually 0.005
_SMALL = 32_768  # bytes: some milliseconds of the loop, whatever is in them


class Decoding:
    """The thread; it starts with the first large body, and ends by `close`."""

    def __init__(self) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        self._thread = ThreadPoolExecutor(1, "decoding")

    async def run(self, size: int, work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Do some work on a body of so many bytes. Raises what it raises."""
        if size <= _SMALL:
            return work(*arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*arguments, **named))

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
