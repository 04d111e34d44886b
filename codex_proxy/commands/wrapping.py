"""Wrapping: text that comes in pieces, broken between words where a terminal would break it within one.

What stands between code fences keeps its lines: it is copied, and a break would come with it.
"""

from codex_proxy.commands.terminal import columns, width

_FENCE = "```"


class Wrapping:
    """Of one stream of text on one terminal. A word is held back until it is whole, and the spaces before it with it."""

    def __init__(self) -> None:
        self._column = 0
        self._line = ""  # its beginning, as far as it tells a fence
        self._spaces = self._word = ""
        self._code = False

    def feed(self, text: str) -> str:
        """What can be written now."""
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
        """The word that is held back: nothing more of it comes."""
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
        """The line has been ended."""
        self._code ^= self._line == _FENCE
        self._column, self._line, self._spaces = 0, "", ""
