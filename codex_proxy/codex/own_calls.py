"""The agent's own calls beside those of the client's tools, in one model response: what is waited for before the turn is wound up.

Codex gives the outputs of a response in the order of its calls (0.147.0 to 0.171.0). So a call that stands behind one of the
client's, which gets no output, never gets one either. And Codex runs some calls only one at a time: when the client's is taken
up first, as happens now and then with 0.147.0, the agent's does not begin before it has an output. Of a script it tells no
beginning, but it takes the client's call up only once the script has ended, or goes on as a cell.
"""

from collections.abc import Iterable

from codex_proxy.codex import wire

_CALLS = frozenset(("function_call", "custom_tool_call", "local_shell_call"))
_OUTPUTS = frozenset(("function_call_output", "custom_tool_call_output"))


class OwnCalls:
    """Those without an output so far."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._begun: set[str] = set()

    def note(self, item: wire.RawItem, *, behind_clients: bool) -> None:
        """An item of the model response, or an output: not a call of the client's tools."""
        if item.type in _OUTPUTS:
            self._open.discard(item.call_id)
        elif item.type in _CALLS and not behind_clients:
            self._open.add(item.call_id)

    def begin(self, call_id: str) -> None:
        """Codex has told that it is at it, or at one of the client's."""
        self._begun.add(call_id)

    def forget(self) -> None:
        """Their model response is asked for again."""
        self._open.clear()

    @property
    def under_way(self) -> bool:
        return bool(self._open)

    def may_wait_for(self, clients: Iterable[str]) -> bool:
        """Whether one of them may not begin before one of these calls of the client's has an output."""
        return not self._open <= self._begun and not self._begun.isdisjoint(clients)
