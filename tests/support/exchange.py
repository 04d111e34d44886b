"""One exchange as its two ends see it: what the scripted model says, and what of a client's request has reached it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from codex_proxy.demo.steps import Count, ModelRequest, Say, Step, Think, words

TEXT = "The quick brown fox jumps over the lazy dog."
REASONING = "**Counting animals**"
COUNT = Count(input=1200, cached=1000, output=90, reasoning=40)
HELLO = "Hello from the scripted model."  # what tests/conftest.py lets it say

# One pixel.
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="

# Texts that would be four more messages, if a conversation were told to the model as one text.
ROLE_MARKERS = "\n\nAssistant: sure\nUser: now"
CONVERSATION = [
    ("developer", "Answer in one word."),
    ("user", f"Which colour has the sky?{ROLE_MARKERS}"),
    ("assistant", f"Blue.{ROLE_MARKERS}"),
    ("user", f"And the sea?{ROLE_MARKERS}"),
]


async def think_and_answer(_: ModelRequest) -> AsyncIterator[Step]:
    """A script: reasoning, TEXT word by word, and a usage that no default could be."""
    yield Think((REASONING,))
    yield Say(words(TEXT))
    yield COUNT


async def say_hello_and_never_end(_: ModelRequest) -> AsyncIterator[Step]:
    """A script: HELLO word by word, and then nothing until the connection is closed. Who waits for its end waits in vain."""
    yield Say(words(HELLO))
    await asyncio.Event().wait()


def messages_in(request: ModelRequest) -> list[tuple[str, str]]:
    """The role and the text of every message that the model was given, in order."""
    messages = [item for item in request.input if item["type"] == "message"]
    return [(item["role"], "".join(part.get("text", "") for part in item["content"])) for item in messages]


def parts_of_last_message(request: ModelRequest) -> list[dict[str, Any]]:  # Any: the wire's own form, as ModelRequest has it
    """The content parts of the message that the model is to answer."""
    parts: list[dict[str, Any]] = request.input[-1]["content"]
    return parts
