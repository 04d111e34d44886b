"""Rolling digests of the conversation that a client sends, so that any known prefix of a history can be looked up.

Anything that clients change or drop without meaning to is ignored: reasoning, item ids, white space at the ends of a text, and
the agent's own work. Everything else from the client that the model reads counts.
"""

import hashlib
from collections.abc import Iterable
from typing import assert_never

import msgspec

from codex_proxy.history import Answered, Called, History, Image, Message, Part, Reasoned, Text, Verbatim
from codex_proxy.turns import Turn

_Told = str | tuple[str, str]  # a text, or an image


def of_turn(turn: Turn, owner: str, apart: tuple[str, ...]) -> list[bytes]:
    """The digest before the first item of a turn's history, after each item, and after the input.

    They start from what all turns of a conversation share, because a thread keeps its tools, its mode and its model's
    instructions. `apart` are further values that distinguish the client's conversations.
    """
    shared = (owner, apart, turn.model, turn.mode, turn.cwd, turn.tools)
    digests = rolling(hashlib.sha256(msgspec.json.encode(shared)).digest(), turn.history)
    asked = (Message("user", turn.input),) if turn.input else ()
    return [*digests, rolling(digests[-1], asked)[-1]]


def rolling(identity: bytes, history: Iterable[History]) -> list[bytes]:
    """The digest before the first item and after each one. An ignored item does not change it."""
    digests = [identity]
    for item in history:
        told = _told(item)
        digests.append(digests[-1] if told is None else hashlib.sha256(digests[-1] + msgspec.json.encode(told)).digest())
    return digests


def _told(item: History) -> tuple[_Told, ...] | None:
    """The part of an item that counts; None when it is ignored."""
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


def _message(role: str, parts: tuple[_Told, ...]) -> tuple[_Told, ...] | None:
    return ("message", role, *parts) if parts else None


def _parts(parts: Iterable[Part]) -> tuple[_Told, ...]:
    """The texts between the images, and the digest of each image, in order."""
    found: list[_Told] = [""]
    for part in parts:
        match part:
            case Text():
                found[-1] = f"{found[-1]}{part.text}"
            case Image():
                found += [("image", hashlib.sha256(part.url.encode()).hexdigest()), ""]
            case _:
                assert_never(part)
    return tuple(stripped for one in found if (stripped := one.strip() if isinstance(one, str) else one))


def _arguments(text: str) -> str:
    """The arguments in canonical form, because clients decode and encode them again."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except (msgspec.DecodeError, RecursionError):  # a thousand levels are too many
        return text.strip()


class _Spoken(msgspec.Struct):
    """An item written by the model: the members that the client may send back."""

    type: str = ""
    role: str = ""
    content: list["_Piece"] | None = None
    name: str = ""
    namespace: str | None = None
    arguments: str = ""


class _Piece(msgspec.Struct):
    text: str = ""


def _verbatim(item: Verbatim) -> tuple[_Told, ...] | None:
    if item.calls is None and '"message"' not in item.item:
        return None
    spoken = msgspec.json.decode(item.item, type=_Spoken)
    if spoken.type == "message" and spoken.role == "assistant":
        text = "".join(piece.text for piece in spoken.content or ()).strip()
        return _message("assistant", (text,) if text else ())
    if item.calls is not None:
        return ("call", item.calls, spoken.namespace or "", spoken.name, _arguments(spoken.arguments))
    return None
