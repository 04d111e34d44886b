"""How much a turn has written, and whether it may go on: all of it is kept, in our memory and in Codex's home.

Codex cuts what the model is shown of a command, and a model calls one tool after the other. But a script of a model in code mode
calls any number of them within a second, and gives `notify` what it likes, in turns that may write no file and in chat mode too.
Codex then writes 40 MB a second to the rollout and to its own databases (0.163.0 to 0.171.0).
"""

import msgspec

_MB = 1024 * 1024
_ITEMS_AT_MOST = 64 * _MB  # of the conversation: the model's, and what it was given
_WORK_AT_MOST = 128 * _MB  # calls of tools and what came of them, most of which the model has not seen
TOO_MUCH = (
    "The turn was stopped, because the model and its tools wrote too much: over 64 MB to be read by the model, or 128 MB in all."
)
_MOST = {"rawResponseItem/completed": _ITEMS_AT_MOST, "item/started": _WORK_AT_MOST, "item/completed": _WORK_AT_MOST}


class Volume:
    """The bytes that a turn's items have come to."""

    def __init__(self) -> None:
        self._bytes = dict.fromkeys(_MOST.values(), 0)  # by limit

    def add(self, method: str, params: msgspec.Raw) -> bool:
        """Count a notification. False when that is too much."""
        most = _MOST.get(method)
        if most is None:
            return True
        self._bytes[most] += memoryview(params).nbytes
        return self._bytes[most] <= most
