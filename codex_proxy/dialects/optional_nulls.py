"""Removes the nulls that stand for absent properties from a JSON answer, while it streams.

A member is held back from its comma to the first character of its value; then it is known whether to drop it.
"""

import msgspec

from codex_proxy.turns import MessageCompleted, MessageDelta, MessageStarted, TurnEvent

_NULL = "null"
_BLANK = " \t\r\n"


class WithoutNulls:
    """A filter of one turn's events that drops members with these names from its messages if they are null."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._texts: dict[str, _Text] = {}

    def feed(self, event: TurnEvent) -> list[TurnEvent]:
        match event:
            case MessageStarted(item=item):
                self._texts[item] = _Text(self._names)
                return [event]
            case MessageDelta(item=item, text=text) if item in self._texts:
                shown = self._texts[item].feed(text)
                return [MessageDelta(item, shown)] if shown else []
            case MessageCompleted(item=item, text=text) if item in self._texts:
                rest = self._texts.pop(item).rest()
                whole = _Text(self._names)
                told = MessageCompleted(item, whole.feed(text) + whole.rest())
                return [MessageDelta(item, rest), told] if rest else [told]
            case _:
                return [event]


class _Text:
    """One text. Text outside any object, and text that is not JSON, passes unchanged."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._open: list[bool | None] = []  # for each open object, whether it has shown a member; None for an array
        self._held = ""  # from the comma or the brace up to the value
        self._key = ""  # the member's name in `_held`, as JSON; "" before it
        self._where = "value"  # what comes next: also key, colon, start or null
        self._string = self._escaped = False

    def feed(self, text: str) -> str:
        return "".join(map(self._next, text))

    def rest(self) -> str:
        """Return what is held when the text or an object ends."""
        comma = "," if self._held.strip() and self._open and self._open[-1] else ""
        held, self._held = self._held, ""
        return comma + held

    def _next(self, letter: str) -> str:
        if self._string:
            return self._in_string(letter)
        if self._where == "value":
            return self._in_value(letter)
        if self._where == "null":
            return self._in_null(letter)
        return self._before_value(letter)

    def _in_string(self, letter: str) -> str:
        if self._escaped:
            self._escaped = False
        elif letter == "\\":
            self._escaped = True
        elif letter == '"':
            self._string = False
        if self._where == "value":
            return letter
        self._held += letter
        self._key += letter
        if not self._string:
            self._where = "colon"
        return ""

    def _in_value(self, letter: str) -> str:
        if letter == '"':
            self._string = True
        elif letter == "{":
            self._open.append(False)
            self._where = "key"
        elif letter == "[":
            self._open.append(None)
        elif letter in "}]" and self._open:
            self._open.pop()
        elif letter == "," and self._open and self._open[-1] is not None:
            self._where = "key"
            return ""  # sent with the next member that is shown
        return letter

    def _before_value(self, letter: str) -> str:
        """Take a character between a comma or brace and a value."""
        if self._where == "key" and letter == "}":
            shown = self.rest()
            self._open.pop()
            self._where = "value"
            return shown + letter
        if self._where == "key" and letter == '"':
            self._string, self._key = True, '"'
        elif self._where == "colon" and letter == ":":
            self._where = "start"
        elif self._where == "start" and letter not in _BLANK:
            if letter == "n" and self._name() in self._names:
                self._where, self._held = "null", self._held + letter
                return ""
            return self._shown() + self._in_value(letter)
        self._held += letter
        return ""

    def _in_null(self, letter: str) -> str:
        self._held += letter
        if self._held.endswith(_NULL):
            self._held, self._where = "", "value"
        return ""

    def _shown(self) -> str:
        """Return what is held, with a comma if needed."""
        shown = self.rest()
        self._open[-1] = True
        self._where = "value"
        return shown

    def _name(self) -> str:
        try:
            return msgspec.json.decode(self._key, type=str)
        except msgspec.DecodeError:
            return ""
