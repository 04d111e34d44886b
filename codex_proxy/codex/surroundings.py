"""What a thread has not seen when a turn begins on it: the rest of the history, and the project's AGENTS.md."""

from pathlib import Path

import msgspec

from codex_proxy.codex import documents
from codex_proxy.codex.opening import Opening
from codex_proxy.codex.view import View
from codex_proxy.turns import Message, Text, Turn


def told(turn: Turn, opening: Opening, view: View, more_names: tuple[str, ...]) -> Turn:
    """The turn with that as its history. Documents stand where Codex would have them; later changes are appended.

    `more_names`: of documents, beside AGENTS.md. Nothing comes after a tool's result, which must be the last word.
    """
    missing, thread, cwd = (*opening.missing, *turn.note), opening.thread, Path(turn.cwd)
    text = documents.project_text(cwd, more_names, view.shows) if turn.mode == "agent" else ""
    goes_on = opening.continuation in ("live", "resumed")
    if text and text != thread.documents and (turn.input or not goes_on):
        thread.documents = text
        message = Message("user", (Text(documents.as_told(text, cwd)),))
        missing = (*missing, message) if goes_on else (message, *missing)
    return msgspec.structs.replace(turn, history=missing)
