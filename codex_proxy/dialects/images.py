"""The images of a conversation: what is let in. Only headers are read here; the Codex CLI decodes what passes.

So the bounds protect the CLI: of a GIF of 33 bytes that claimed 65,535 pixels a side it made 18 GB and two minutes'
work (0.163.0).
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

MAX_IMAGES = 100  # in one conversation
MAX_BYTES = 20 * 1024 * 1024  # of one file
MAX_PIXELS = 50_000_000  # width times height: a large photograph; at 16 bits a channel the CLI takes 0.7 GB for it
MAX_SIDE = 16_384  # pixels

_MAX_ADDRESS = 4096  # characters
_DATA_URL = re.compile(r"data:[\w.+*/-]{0,127}(;[\w.+-]{1,64}=[^;,]{0,127}){0,4};base64,", re.ASCII | re.IGNORECASE)
_KEPT_DETAILS = ("high", "original")  # for low the CLI leaves the image out (seen with 0.163.0); auto is its default

Read = Mapping[Image, tuple[Part, ...]]  # what an address or a PDF gave


def image(url: str, detail: str | None, place: str) -> Image:
    """The image of a part, checked; one that is given as an https address stays that, to be fetched. Raises InvalidRequest.

    What kind it is, its bytes say: clients declare PNG for everything, or types like image/jpg.
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
    if len(encoded) % 4:  # what follows the last group
        raise _not_base64(place)
    return Image(f"data:image/{_checked_kind(content, place)};base64,{encoded}", kept_detail)


def data_url(content: bytes, place: str) -> str:
    """The same for a file that has been fetched for the part at `place`."""
    return f"data:image/{_checked_kind(content, place)};base64,{base64.b64encode(content).decode()}"


def check_number(number: int, place: str) -> None:
    """Raises InvalidRequest when a conversation has too many."""
    if number > MAX_IMAGES:
        raise InvalidRequest(f"A conversation can have up to {MAX_IMAGES} images; this one has {number}.", param=place)


def put_in(wish: Wish, read: Read) -> Wish:
    """The wish with what its addresses and PDF files gave."""
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
