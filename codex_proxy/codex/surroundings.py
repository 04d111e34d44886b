"""What a thread has not seen when a turn begins on it: the rest of the history, and the project's AGENTS.md.

Of the text of a turn's own input the CLI looks for the names of skills ($name), and adds what their files hold: it finds them in
the project, and reads them outside of the sandbox, through any link that a command has put there (0.147.0 to 0.169.0). So text in
which there may be such a name goes with the history, where nothing is looked for; the model sees the same.
"""

from pathlib import Path

import msgspec

from codex_proxy.codex import documents
from codex_proxy.codex.opening import Opening
from codex_proxy.codex.view import View
from codex_proxy.history import Message, Part, Text
from codex_proxy.turns import Turn

_BEFORE_NAMES = "$@"  # of skills; of plugins, which are off


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
    if not _may_name_skills(turn.input):
        return msgspec.structs.replace(turn, history=missing)
    return msgspec.structs.replace(turn, history=(*missing, Message("user", turn.input)), input=())


def _may_name_skills(parts: tuple[Part, ...]) -> bool:
    return any(mark in part.text for part in parts if isinstance(part, Text) for mark in _BEFORE_NAMES)
