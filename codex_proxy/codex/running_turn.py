"""The turn that Codex runs on a thread, and its interrupt.

Codex refuses an interrupt until it is at the turn, 10 to 60 ms after it has accepted it (0.147.0 to 0.169.0). So it is posted again
when Codex first tells of the turn and, since a turn without input is told of only when the model answers, with each request for it.
"""

from codex_proxy.codex.connection import Connection


class RunningTurn:
    """`id` is Codex's, and None unless it runs the turn. `interrupt_wanted`: this turn and those after it shall be interrupted."""

    def __init__(self, connection: Connection, thread_id: str) -> None:
        self.id: str | None = None
        self.interrupt_wanted = False
        self._connection = connection
        self._thread_id = thread_id
        self._told = False  # Codex has told of the turn
        self._interrupted = False  # since then

    async def begin(self, turn_id: str) -> None:
        """Codex has accepted a turn."""
        self.id, self._told, self._interrupted = turn_id, False, False
        if self.interrupt_wanted:
            await self.interrupt()

    async def tell(self) -> None:
        """Codex has told of the turn."""
        if not self._told:
            self._told = True
            if self.interrupt_wanted:
                await self.interrupt()

    async def want_interrupt(self) -> None:
        """Interrupt the turn, or as soon as it runs. May be called from any task, and again until the turn is over."""
        self.interrupt_wanted = True
        if self.id is not None and not self._interrupted:
            await self.interrupt()

    async def interrupt(self) -> None:
        """Interrupt this turn only."""
        self._interrupted = self._told
        await self._connection.post("turn/interrupt", {"threadId": self._thread_id, "turnId": self.id})
