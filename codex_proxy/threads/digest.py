"""Digests of a conversation as the client repeats it: rolling, so that one look at a history finds where we have been.

What clients change or drop without meaning anything by it does not count: reasoning, ids of items, white space at the
ends of a text, and the agent's own work. Everything that the model reads of the client's does.
"""

import hashlib
from collections.abc import Iterable
from typing import assert_never

import msgspec

from codex_proxy.history import Answered, Called, History, Image, Message, Part, Reasoned, Text, Verbatim
from codex_proxy.turns import Turn


def of_turn(turn: Turn, owner: str, apart: tuple[str, ...]) -> list[bytes]:
    """The digest before the first item of a turn's history, then the one after each, then the one after its input too.

    They begin with what all turns of a conversation share: a thread keeps its tools, its mode and its model's
    instructions. `apart`: what else the client tells its conversations apart by.
    """
    shared = (owner, apart, turn.model, turn.mode, turn.cwd, turn.tools)
    digests = rolling(hashlib.sha256(msgspec.json.encode(shared)).digest(), turn.history)
    asked = (Message("user", turn.input),) if turn.input else ()
    return [*digests, rolling(digests[-1], asked)[-1]]


def rolling(identity: bytes, history: Iterable[History]) -> list[bytes]:
    """The digest before the first item, then the one after each. An item that does not count leaves it as it is."""
    digests = [identity]
    for item in history:
        told = _told(item)
        digests.append(digests[-1] if told is None else hashlib.sha256(digests[-1] + msgspec.json.encode(told)).digest())
    return digests


def _told(item: History) -> tuple[str, ...] | None:
    """What counts of an item; None when nothing does."""
    match item:
        case Message():
            return _message(item.role, _parts(item.parts))
        case Called():
            return None if item.agents else ("call", item.call_id, item.namespace or "", item.name, _arguments(item.arguments))
        case Answered():
            return None if item.agents else ("output", item.call_id, *_parts(item.parts))
        case Verbatim():
            return _verbatim(item)
        case Reasoned():
            return None
        case _:
            assert_never(item)


def _message(role: str, parts: tuple[str, ...]) -> tuple[str, ...] | None:
    return ("message", role, *parts) if parts else None


def _parts(parts: Iterable[Part]) -> tuple[str, ...]:
    """The text as one, and each image by what it is."""
    texts, images = "", []
    for part in parts:
        match part:
            case Text():
                texts += part.text
            case Image():
                images.append(hashlib.sha256(part.url.encode()).hexdigest())
            case _:
                assert_never(part)
    return tuple(filter(None, (texts.strip(), *images)))


def _arguments(text: str) -> str:
    """Clients decode them and encode them again."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except msgspec.DecodeError:
        return text.strip()


class _Spoken(msgspec.Struct):
    """The members of a model's own item that may come back from the client."""

    type: str = ""
    role: str = ""
    content: list["_Piece"] | None = None
    name: str = ""
    namespace: str | None = None
    arguments: str = ""


class _Piece(msgspec.Struct):
    text: str = ""


def _verbatim(item: Verbatim) -> tuple[str, ...] | None:
    if item.calls is None and '"message"' not in item.item:
        return None
    spoken = msgspec.json.decode(item.item, type=_Spoken)
    if spoken.type == "message" and spoken.role == "assistant":
        text = "".join(piece.text for piece in spoken.content or ()).strip()
        return _message("assistant", (text,) if text else ())
    if item.calls is not None:
        return ("call", item.calls, spoken.namespace or "", spoken.name, _arguments(spoken.arguments))
    return None
