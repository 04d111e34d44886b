"""Counts the input tokens of a request: texts exactly; images and the frames of items by rule.

What the client sends or continues is counted. What Codex adds (its instructions, the agent's tools, the environment) is not, nor is
encrypted reasoning, which only the provider can read. The vocabulary is in the package `toktok-rs`; its first use takes 0.3 s of
processor time and 70 MB.
"""

import base64
import itertools
import math
from collections.abc import Iterator
from typing import Any, assert_never

import msgspec
import toktok

from codex_proxy.dialects import image_header
from codex_proxy.history import Answered, Called, History, Image, Message, Part, Reasoned, Text, Verbatim
from codex_proxy.turns import Tool
from codex_proxy.wish import Wish

ENCODING = "o200k_base"  # the encoding of all models since GPT-4o
# OpenAI, "Managing tokens": 3 tokens around each message, and 3 before the answer.
_FRAME, _ANSWER = 3, 3
# OpenAI, "Images and vision", GPT-5: scaled to fit 2048 pixels, the shorter side to 768, then split into tiles.
_FIT, _SHORT_SIDE, _TILE = 2048, 768, 512
_IMAGE, _EACH_TILE = 70, 140
_NOT_READ = frozenset(("id", "call_id", "type", "status", "encrypted_content", "internal_chat_message_metadata_passthrough"))


class InputTokens(msgspec.Struct, frozen=True, tag_field="object", tag="response.input_tokens"):
    """The answer of POST /v1/responses/input_tokens."""

    input_tokens: int


def count(wish: Wish) -> int:
    """Count the input tokens of a wish. The first call holds the interpreter for 0.3 s, so make it where that does no harm."""
    history = (*wish.history, *wish.note, *((Message("user", wish.input),) if wish.input else ()))
    read = [*(list(_texts(item)) for item in history), *(list(_tool(tool)) for tool in wish.tools)]
    texts = [*itertools.chain.from_iterable(read), wish.output_schema or ""]
    images = sum(_image(image) for image in wish.images)
    frames = _FRAME * sum(1 for one in read if one) + _ANSWER
    return sum(toktok.batch_count(texts, ENCODING, threads=1)) + images + frames


def _texts(item: History) -> Iterator[str]:
    match item:
        case Message():
            yield item.role
            yield from _parts(item.parts)
        case Called():
            yield from (item.name, item.arguments)
        case Answered():
            yield from _parts(item.parts)
        case Reasoned():
            return
        case Verbatim():
            yield from _strings(msgspec.json.decode(item.item))
        case _:
            assert_never(item)


def _parts(parts: tuple[Part, ...]) -> Iterator[str]:
    yield from (part.text for part in parts if isinstance(part, Text))


def _tool(tool: Tool) -> Iterator[str]:
    yield from (tool.namespace or "", tool.name, tool.description, tool.parameters)


def _strings(value: Any) -> Iterator[str]:  # Any: an item of the provider as JSON
    """Yield the texts that the model reads; it does not read the summary, the only text in reasoning."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, dict) and value.get("type") != "reasoning":
        for name, inner in value.items():
            if name not in _NOT_READ:
                yield from _strings(inner)


def _image(image: Image) -> int:
    kind, _, encoded = image.url.removeprefix("data:image/").partition(";base64,")
    if image.detail == "low":
        return _IMAGE
    size = image_header.size(kind, base64.b64decode(encoded))
    width, height = size or (_FIT, _FIT)
    scale = min(1.0, _FIT / max(width, height))
    scale *= min(1.0, _SHORT_SIDE / (min(width, height) * scale))
    tiles = math.ceil(width * scale / _TILE) * math.ceil(height * scale / _TILE)
    return _IMAGE + _EACH_TILE * tiles
