"""What we add to a conversation: the project's documents, and the notes of a turn, such as the form of its answer.

It stays in the thread that was given it, but is not the client's: a conversation that is rebuilt is without it, and is given it
anew. A note is for its turn only, so a thread does not go on with a turn that lacks one of the notes that it has.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from codex_proxy.history import History, Message, Text
from codex_proxy.turns import Turn

Item = dict[str, Any]  # Any: a raw Responses API item


def with_more(known: tuple[str, ...], messages: Iterable[History]) -> tuple[str, ...]:
    """The digests by which messages are known again, with those of more messages."""
    return tuple(dict.fromkeys((*known, *_marks(messages))))


def stale(turn: Turn) -> bool:
    """Whether the thread of the turn's conversation has notes that are not the turn's."""
    return turn.trace is not None and not set(turn.trace.notes).issubset(_marks(turn.note))


def without(items: list[Item], added: tuple[str, ...], turn: Turn) -> list[Item]:
    """The items without what was added, except for what the client has said in the same words."""
    gone = set(added).difference(_marks(turn.history) if added else ())
    return [item for item in items if not gone or item.get("type") != "message" or _mark_of(item) not in gone]


def _marks(messages: Iterable[History]) -> Iterator[str]:
    spoken = (message for message in messages if isinstance(message, Message))
    return (_mark(message.role, [part.text for part in message.parts if isinstance(part, Text)]) for message in spoken)


def _mark_of(item: Item) -> str:
    return _mark(item.get("role", ""), [part["text"] for part in item.get("content") or () if "text" in part])


def _mark(role: str, texts: list[str]) -> str:
    return hashlib.sha256(msgspec.json.encode((role, texts))).hexdigest()
