"""History: the items of the conversation that a turn continues, free of any dialect's form and of Codex's."""

from collections.abc import Iterable
from typing import Literal, TypeVar

import msgspec

Role = Literal["user", "assistant", "developer"]
Phase = Literal["commentary", "final_answer"]
_Item = TypeVar("_Item")

PDF = "data:application/pdf;base64,"


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Plain text, well-formed Unicode."""

    text: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """An image as a `data:` URL, or what gives images once it is read: an address or a PDF. Then `place` is where the
    request has it. `detail` is the API's word, `name` that of a file."""

    url: str
    detail: str | None = None
    place: str | None = None
    name: str | None = None

    @property
    def is_pdf(self) -> bool:
        return self.url.startswith(PDF)


Part = Text | Image


class Message(msgspec.Struct, frozen=True, tag="message"):
    """One message so far. `phase` as the model gave it to its own messages."""

    role: Role
    parts: tuple[Part, ...]
    phase: Phase | None = None

    @property
    def is_empty(self) -> bool:
        return not any(part for part in self.parts if not isinstance(part, Text) or part.text.strip())


class Called(msgspec.Struct, frozen=True, tag="called"):
    """A call of a tool, earlier in the conversation. `arguments` is the text that the model wrote."""

    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    agents: bool = False  # the agent's own work, as the client was told of it


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """What the tool of an earlier call gave back."""

    call_id: str
    parts: tuple[Part, ...]
    agents: bool = False


class Reasoned(msgspec.Struct, frozen=True, tag="reasoned"):
    """Reasoning of the model, earlier in the conversation; `encrypted` is what the provider understands of it."""

    item: str
    summary: tuple[str, ...]
    encrypted: str


class Verbatim(msgspec.Struct, frozen=True, tag="verbatim"):
    """An item in the provider's own form, as JSON text; `calls` is the call id, if it is a call of a client's tool."""

    item: str
    calls: str | None = None


History = Message | Called | Answered | Reasoned | Verbatim


def said(history: Iterable[_Item]) -> tuple[_Item, ...]:
    """The history without the messages that say nothing: some providers refuse them."""
    return tuple(item for item in history if not isinstance(item, Message) or not item.is_empty)
