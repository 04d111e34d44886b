"""TextLimit: ends the text where the client asked: at a stop sequence, or after a number of tokens."""

from typing import Literal


class TextLimit:
    """Takes deltas and returns the text that may be shown. A delta is at least one token, so deltas are counted.

    Text that could be the beginning of a stop sequence is held back until that is decided; `rest` returns it at the end.
    """

    def __init__(self, stop: tuple[str, ...], max_tokens: int | None) -> None:
        self.reached: Literal["stop", "length"] | None = None  # set once the text has ended
        self._stop = stop
        self._left = max_tokens
        self._held = ""

    def feed(self, text: str) -> str:
        """Add text; returns what may be shown now, nothing once the limit is reached."""
        if self.reached:
            return ""
        if self._left == 0:
            self.reached = "length"
            return self._take_held()
        if self._left is not None:
            self._left -= 1
        self._held += text
        found = [(start + len(word), start) for word in self._stop if (start := self._held.find(word)) >= 0]
        if found:  # the first to be complete wins; of two that end together, the longer one
            self.reached = "stop"
            shown, self._held = self._held[: min(found)[1]], ""
            return shown
        keep = max((_overlap(self._held, word) for word in self._stop), default=0)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def rest(self) -> str:
        """Return the text held back, when the text has ended by itself."""
        return "" if self.reached == "stop" else self._take_held()

    def _take_held(self) -> str:
        held, self._held = self._held, ""
        return held


def _overlap(text: str, word: str) -> int:
    """Return how many characters at the end of `text` are the beginning of `word`."""
    longest = min(len(text), len(word) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(word[:length])), 0)
