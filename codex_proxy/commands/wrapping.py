"""Wrapping: breaks text that arrives in pieces at word boundaries, where a terminal would break within a word.

Code blocks keep their lines: a break would end up in copied code.
"""

from codex_proxy.commands.terminal import columns, width

_FENCE = "```"


class Wrapping:
    """Wraps one stream of text on one terminal. Each word is held back, with the spaces before it, until it is complete."""

    def __init__(self) -> None:
        self._column = 0
        self._line = ""  # start of the current line, long enough to recognize a fence
        self._spaces = self._word = ""
        self._code = False

    def feed(self, text: str) -> str:
        """Add text; returns what can be written now."""
        written = []
        for char in text:
            if char == "\n":
                written += [self.flush(), self._spaces, char]
                self.begin_line()
            elif char == " ":
                written.append(self.flush())
                self._spaces += char
            else:
                self._word += char
        return "".join(written)

    def flush(self) -> str:
        """Return the word held back; no more of it will come."""
        if not self._word:
            return ""
        spaces, word = self._spaces, self._word
        self._spaces = self._word = ""
        if not self._code and self._column > 0 and self._column + len(spaces) + width(word) > columns():
            spaces, self._column = "\n", 0
        else:
            self._column += len(spaces)
        self._column += width(word)
        self._line = (self._line + word)[: len(_FENCE)]
        return spaces + word

    def begin_line(self) -> None:
        """Start a new line."""
        self._code ^= self._line == _FENCE
        self._column, self._line, self._spaces = 0, "", ""
