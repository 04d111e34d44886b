"""The images of a conversation, and which are accepted. Only headers are read here; the Codex CLI decodes what passes.

The bounds protect the CLI: a 33-byte GIF that claimed 65,535 pixels a side cost it 18 GB and two minutes (0.163.0).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from codex_proxy.dialects.image_header import kind_of, size
from codex_proxy.errors import InvalidRequest
from codex_proxy.history import Answered, Image, Message, Part
from codex_proxy.wish import Wish

_Item = TypeVar("_Item")

MAX_IMAGES = 100  # per conversation
MAX_BYTES = 20 * 1024 * 1024  # per file
MAX_PIXELS = 50_000_000  # width × height: a large photograph; at 16 bits per channel the CLI takes 0.7 GB for it
MAX_SIDE = 16_384  # pixels

_MAX_ADDRESS = 4096  # characters
_DATA_URL = re.compile(r"data:[\w.+*/-]{0,127}(;[\w.+-]{1,64}=[^;,]{0,127}){0,4};base64,", re.ASCII | re.IGNORECASE)
_KEPT_DETAILS = ("high", "original")  # the CLI leaves out images with low detail (seen with 0.163.0); auto is its default

Read = Mapping[Image, tuple[Part, ...]]  # the parts that an address or a PDF gave


def image(url: str, detail: str | None, place: str) -> Image:
    """Check the image of a part; an https address is kept, to be fetched later. Raises InvalidRequest.

    The kind is taken from the bytes: clients declare PNG for everything, or types like image/jpg.
    """
    kept_detail = detail if detail in _KEPT_DETAILS else None
    if url[:8].lower() == "https://" and len(url) <= _MAX_ADDRESS:
        return Image(url, kept_detail, place)
    if not (found := _DATA_URL.match(url)):
        raise InvalidRequest(
            "An image must be a base64 data: URL of a PNG, JPEG, GIF or WebP, "
            "or an https URL where the operator allows that (PROXY_IMAGE_FETCH=1).",
            param=place,
        )
    encoded = url[found.end() :]
    if len(encoded) > MAX_BYTES * 4 // 3 + 4:
        raise too_large(place)
    try:
        content = binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise _not_base64(place) from error
    if len(encoded) % 4:  # trailing characters after the last group
        raise _not_base64(place)
    return Image(f"data:image/{_checked_kind(content, place)};base64,{encoded}", kept_detail)


def data_url(content: bytes, place: str) -> str:
    """Return a checked data: URL for a file fetched for the part at `place`. Raises InvalidRequest."""
    return f"data:image/{_checked_kind(content, place)};base64,{base64.b64encode(content).decode()}"


def check_number(number: int, place: str) -> None:
    """Raise InvalidRequest if a conversation has too many images."""
    if number > MAX_IMAGES:
        raise InvalidRequest(f"A conversation can have up to {MAX_IMAGES} images; this one has {number}.", param=place)


def put_in(wish: Wish, read: Read) -> Wish:
    """Return the wish with its image addresses and PDF files replaced by what `read` has for them."""
    if not read:
        return wish
    return msgspec.structs.replace(wish, history=put_in_history(wish.history, read), input=_filled(wish.input, read))


def put_in_history(history: tuple[_Item, ...], read: Read) -> tuple[_Item, ...]:
    return tuple(
        msgspec.structs.replace(item, parts=_filled(item.parts, read)) if isinstance(item, Message | Answered) else item
        for item in history
    )


def too_large(place: str) -> InvalidRequest:
    return InvalidRequest(f"An image can have up to {MAX_BYTES // 1024 // 1024} MB.", param=place)


def _not_base64(place: str) -> InvalidRequest:
    return InvalidRequest("The image is not valid base64.", param=place)


def _filled(parts: tuple[Part, ...], read: Read) -> tuple[Part, ...]:
    return tuple(filled for part in parts for filled in (read.get(part, (part,)) if isinstance(part, Image) else (part,)))


def _checked_kind(content: bytes, place: str) -> str:
    if len(content) > MAX_BYTES:
        raise too_large(place)
    kind = kind_of(content)
    if kind is None:
        raise InvalidRequest("The image is not a PNG, JPEG, GIF or WebP file.", param=place)
    found = size(kind, content)
    if found is None:
        raise InvalidRequest(f"The header of the {kind} image is damaged.", param=place)
    width, height = found
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        allowed = f"{MAX_SIDE} pixels per side and {MAX_PIXELS // 1_000_000} megapixels"
        raise InvalidRequest(f"An image can have up to {allowed}; this one has {width} x {height}.", param=place)
    return kind
