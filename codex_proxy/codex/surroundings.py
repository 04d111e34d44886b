"""What a thread has not seen when a turn begins on it: the rest of the history, and the project's AGENTS.md.

The CLI searches the text of a turn's input for names of skills ($name) and adds the contents of their files. It finds these in
the project and reads them outside the sandbox, through any link that a command has put there (0.147.0 to 0.169.0). So input that
may contain such a name is sent as history, which the CLI does not search; the model sees the same. Only in danger-full-access does
Codex then tell the changed permissions after that message: thread/settings/update before it does not help (0.163.0).
"""

from pathlib import Path

import msgspec

from codex_proxy.codex import documents, notes
from codex_proxy.codex.opening import Opening
from codex_proxy.codex.view import View
from codex_proxy.history import Message, Part, Text
from codex_proxy.turns import Turn

_BEFORE_NAMES = "$@"  # $ before names of skills, @ before those of plugins, which are off


def told(turn: Turn, opening: Opening, view: View, more_names: tuple[str, ...]) -> Turn:
    """The turn with what the thread has not seen as its history.

    Documents stand where Codex would put them; later changes are appended, but never after a tool's result, which must come last.
    `more_names` are names of documents besides AGENTS.md.
    """
    missing, thread, cwd = (*opening.missing, *turn.note), opening.thread, Path(turn.cwd)
    text = documents.project_text(cwd, more_names, view.shows) if turn.mode == "agent" else ""
    goes_on = opening.continuation in ("live", "resumed")
    if text and text != thread.documents and (turn.input or not goes_on):
        thread.documents = text
        message = Message("user", (Text(documents.as_told(text, cwd)),))
        missing = (*missing, message) if goes_on else (message, *missing)
        thread.added = notes.with_more(thread.added, [message])
    thread.added, thread.notes = (notes.with_more(known, turn.note) for known in (thread.added, thread.notes))
    if not _may_name_skills(turn.input):
        return msgspec.structs.replace(turn, history=missing)
    return msgspec.structs.replace(turn, history=(*missing, Message("user", turn.input)), input=())


def _may_name_skills(parts: tuple[Part, ...]) -> bool:
    return any(mark in part.text for part in parts if isinstance(part, Text) for mark in _BEFORE_NAMES)
