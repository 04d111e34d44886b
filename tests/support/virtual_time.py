"""An event loop whose clock jumps to the next timer when nothing else is to be done: a minute takes no time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Jumping(selectors.SelectSelector):
    """Never waits for a timer: it says that the time has come."""

    ahead = 0.0  # seconds that were jumped over

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None and timeout > 0:
            self.ahead += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return super().time() + self._jumping.ahead


def run(main: Coroutine[Any, Any, None]) -> None:
    """Like asyncio.run. A test that waits for nothing that will ever come hangs, as on any loop."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(main)
