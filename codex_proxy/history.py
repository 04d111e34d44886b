"""The items of the conversation that a turn continues, independent of the dialects and of Codex."""

from collections.abc import Iterable
from typing import Literal, TypeVar

import msgspec

Role = Literal["user", "assistant", "developer"]
Phase = Literal["commentary", "final_answer"]
_Item = TypeVar("_Item")

PDF = "data:application/pdf;base64,"


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Plain text in well-formed Unicode."""

    text: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """An image as a `data:` URL, or an address or PDF that is yet to be read.

    If it is yet to be read, `place` is its path in the request. `detail` is the API's parameter, `name` the name of a file.
    """

    url: str
    detail: str | None = None
    place: str | None = None
    name: str | None = None

    @property
    def is_pdf(self) -> bool:
        return self.url.startswith(PDF)


Part = Text | Image


class Message(msgspec.Struct, frozen=True, tag="message"):
    """A message in the conversation. `phase` is the one that the model gave its own message."""

    role: Role
    parts: tuple[Part, ...]
    phase: Phase | None = None

    @property
    def is_empty(self) -> bool:
        return not any(part for part in self.parts if not isinstance(part, Text) or part.text.strip())


class Called(msgspec.Struct, frozen=True, tag="called"):
    """A tool call earlier in the conversation. `arguments` is the text that the model wrote."""

    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    agents: bool = False  # the agent's own work, as it was reported to the client


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The result of an earlier tool call."""

    call_id: str
    parts: tuple[Part, ...]
    agents: bool = False


class Reasoned(msgspec.Struct, frozen=True, tag="reasoned"):
    """The model's reasoning earlier in the conversation; `encrypted` is the form that only the provider can read."""

    item: str
    summary: tuple[str, ...]
    encrypted: str


class Verbatim(msgspec.Struct, frozen=True, tag="verbatim"):
    """An item in the provider's own format, as JSON text; `calls` is the call id if it calls one of the client's tools."""

    item: str
    calls: str | None = None


History = Message | Called | Answered | Reasoned | Verbatim


def said(history: Iterable[_Item]) -> tuple[_Item, ...]:
    """The history without empty messages, which some providers refuse."""
    return tuple(item for item in history if not isinstance(item, Message) or not item.is_empty)
