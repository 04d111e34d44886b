"""The steps that a scripted model can take in one response, for the demo and the tests.

A script is an async generator function that takes a ModelRequest and yields Steps; `model.py` sends them.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

_SURROUNDINGS = "<environment_context>"


class ModelRequest(msgspec.Struct, frozen=True):
    """A request from the Codex CLI. `body` is the decoded JSON of POST /v1/responses (OpenAI Responses API)."""

    body: dict[str, Any]  # Any: the wire format, kept whole so that tests can check any part of it

    @property
    def input(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.body["input"]
        return items

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools of the request; for most models Codex sends them as an item of the input, `additional_tools`."""
        given = [item.get("tools", ()) for item in self.input if item.get("type") == "additional_tools"]
        return [*self.body.get("tools", ()), *(tool for tools in given for tool in tools)]

    @property
    def tool_names(self) -> list[str]:
        """Their names; of groups only the group's, but for that of all tools without one."""
        inner = [one for tool in self.tools for one in (tool["tools"] if tool.get("name") == "functions" else [tool])]
        return [str(tool.get("name", tool["type"])) for tool in inner]

    @property
    def prompt(self) -> str:
        """The text of the last user message that is not Codex's environment context; "" if there is none."""
        return next((text for text in self.said_by_user if not text.startswith(_SURROUNDINGS)), "")

    @property
    def said_by_user(self) -> list[str]:
        """The texts of all user messages, the last one first."""
        said = [item["content"] for item in reversed(self.input) if item.get("role") == "user"]
        return ["".join(part.get("text", "") for part in content) for content in said]

    @property
    def images(self) -> list[str]:
        """The URLs of the images in the last user message."""
        last: list[dict[str, Any]] = next((item["content"] for item in reversed(self.input) if item.get("role") == "user"), [])
        return [str(part.get("image_url")) for part in last if part.get("type") == "input_image"]

    @property
    def outputs(self) -> list[str]:
        """The tools' outputs since the last user message, oldest first."""
        found: list[str] = []
        for item in reversed(self.input):
            if item.get("role") == "user":
                break
            if item.get("type") in ("function_call_output", "custom_tool_call_output"):
                output = item["output"]
                found.insert(0, output if isinstance(output, str) else "".join(part.get("text", "") for part in output))
        return found


class Say(msgspec.Struct, frozen=True):
    """A message, sent in pieces `pace` seconds apart. `phase` is one of Codex's (commentary, final_answer)."""

    pieces: tuple[str, ...]
    pace: float = 0.0
    phase: str | None = None


class Think(msgspec.Struct, frozen=True):
    """A reasoning item with its summary parts, each streamed in one delta."""

    summary: tuple[str, ...]
    encrypted: str | None = None


class Call(msgspec.Struct, frozen=True):
    """A function call; `arguments` is the JSON text that the model wrote."""

    name: str
    arguments: str
    call_id: str
    namespace: str | None = None


class Raw(msgspec.Struct, frozen=True):
    """An output item in the wire format, for kinds without a step of their own."""

    item: dict[str, Any]


class Refuse(msgspec.Struct, frozen=True):
    """Answer with an HTTP error instead of a stream; allowed only as the first step."""

    status: int
    body: str = '{"error":{"message":"scripted refusal"}}'


class Cut(msgspec.Struct, frozen=True):
    """Break the connection in the middle of the response."""


class Fail(msgspec.Struct, frozen=True):
    """End the response with response.failed and this error code."""

    code: str
    message: str = "scripted failure"


class Count(msgspec.Struct, frozen=True):
    """The token usage to report at the end."""

    input: int = 10
    cached: int = 0
    output: int = 5
    reasoning: int = 0


Step = Say | Think | Call | Raw | Refuse | Cut | Fail | Count
Script = Callable[[ModelRequest], AsyncIterator[Step]]


def words(text: str) -> tuple[str, ...]:
    """Split `text` into pieces of one word each, which concatenate to it again."""
    pieces = text.split(" ")
    return (*(piece + " " for piece in pieces[:-1]), pieces[-1])
