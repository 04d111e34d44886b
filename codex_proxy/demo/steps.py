"""What a scripted model can do in one response: the vocabulary of the demo and of the tests.

A script is an async generator function from a ModelRequest to Steps; `model.py` puts the steps on the wire.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

_SURROUNDINGS = "<environment_context>"


class ModelRequest(msgspec.Struct, frozen=True):
    """One request as the Codex CLI sent it: `body` is the decoded JSON of POST /v1/responses (OpenAI Responses API)."""

    body: dict[str, Any]  # the wire's own form, kept whole so that tests can assert any of it

    @property
    def input(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.body["input"]
        return items

    @property
    def tool_names(self) -> list[str]:
        return [str(tool.get("name", tool["type"])) for tool in self.body.get("tools", ())]

    @property
    def prompt(self) -> str:
        """The text of the last user message that is not Codex's own about the surroundings, "" when there is none."""
        return next((text for text in self.said_by_user if not text.startswith(_SURROUNDINGS)), "")

    @property
    def said_by_user(self) -> list[str]:
        """The texts of all user messages, the last one first."""
        said = [item["content"] for item in reversed(self.input) if item.get("role") == "user"]
        return ["".join(part.get("text", "") for part in content) for content in said]

    @property
    def images(self) -> list[str]:
        """The addresses of the images in the last user message."""
        last: list[dict[str, Any]] = next((item["content"] for item in reversed(self.input) if item.get("role") == "user"), [])
        return [str(part.get("image_url")) for part in last if part.get("type") == "input_image"]

    @property
    def outputs(self) -> list[str]:
        """What tools answered since the last user message, oldest first."""
        found: list[str] = []
        for item in reversed(self.input):
            if item.get("role") == "user":
                break
            if item.get("type") in ("function_call_output", "custom_tool_call_output"):
                output = item["output"]
                found.insert(0, output if isinstance(output, str) else "".join(part.get("text", "") for part in output))
        return found


class Say(msgspec.Struct, frozen=True):
    """A message, sent in the given pieces, `pace` seconds apart; `phase` as Codex knows it (commentary, final_answer)."""

    pieces: tuple[str, ...]
    pace: float = 0.0
    phase: str | None = None


class Think(msgspec.Struct, frozen=True):
    """A reasoning item: its summary parts, each streamed in one delta."""

    summary: tuple[str, ...]
    encrypted: str | None = None


class Call(msgspec.Struct, frozen=True):
    """A function call; `arguments` is the JSON text that the model wrote."""

    name: str
    arguments: str
    call_id: str
    namespace: str | None = None


class Raw(msgspec.Struct, frozen=True):
    """An output item in the wire's own form, for kinds that have no step of their own."""

    item: dict[str, Any]


class Refuse(msgspec.Struct, frozen=True):
    """Answer with an HTTP error instead of a stream; only as the first step."""

    status: int
    body: str = '{"error":{"message":"scripted refusal"}}'


class Cut(msgspec.Struct, frozen=True):
    """Break the connection in the middle of the response."""


class Fail(msgspec.Struct, frozen=True):
    """End with response.failed and this error code."""

    code: str
    message: str = "scripted failure"


class Count(msgspec.Struct, frozen=True):
    """The usage to report at the end, in tokens."""

    input: int = 10
    cached: int = 0
    output: int = 5
    reasoning: int = 0


Step = Say | Think | Call | Raw | Refuse | Cut | Fail | Count
Script = Callable[[ModelRequest], AsyncIterator[Step]]


def words(text: str) -> tuple[str, ...]:
    """Split into pieces that concatenate to `text` again, one word each."""
    pieces = text.split(" ")
    return (*(piece + " " for piece in pieces[:-1]), pieces[-1])
