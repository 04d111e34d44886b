"""Files in a request: text stays text, an image becomes an image, a PDF is read later. The type is taken from the bytes.

A PDF that would also pass as text is treated as a PDF: its source is never given to the model.
"""

import binascii
import codecs

from codex_proxy.dialects import image_header, images
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.history import PDF, Image, Part, Text

MAX_TEXT_BYTES = 1024 * 1024
MAX_PDF_BYTES = 20 * 1024 * 1024
_PDF_MARK, _MARK_WITHIN = b"%PDF-", 1024  # bytes; readers skip what precedes the mark
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # Windows writes such files
_TAKEN = "Send text in UTF-8, a PDF, or an image (PNG, JPEG, GIF, WebP)."


def part(data: str, filename: str | None, place: str) -> Part:
    """Convert a file given as base64 or a data: URL; a PDF is left to be read. Raises InvalidRequest and UnsupportedParameter."""
    declared, _, encoded = data.rpartition("base64,")
    if len(encoded) > MAX_PDF_BYTES * 4 // 3 + 4:
        raise InvalidRequest(f"A file can have up to {MAX_PDF_BYTES // 1024 // 1024} MB.", param=place)
    try:
        content = binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("The file is not valid base64.", param=place) from error
    if _PDF_MARK in content[:_MARK_WITHIN]:
        return Image(f"{PDF}{encoded}", place=place, name=filename)
    if "application/pdf" in declared.lower() or (filename or "").lower().endswith(".pdf"):
        raise InvalidRequest("The file is declared as a PDF but is not one.", param=place)
    if image_header.kind_of(content) is not None:
        return images.image(f"data:;base64,{encoded}", None, place)
    return Text(f"File {filename or 'without a name'}:\n{_text(content, place)}")


def _text(content: bytes, place: str) -> str:
    if len(content) > MAX_TEXT_BYTES:
        raise InvalidRequest(f"A text file can have up to {MAX_TEXT_BYTES // 1024} kB. {_TAKEN}", param=place)
    try:
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnsupportedParameter(f"A file of this kind is not supported. {_TAKEN}", param=place) from error
    if "\0" in text:
        raise UnsupportedParameter(f"A file of this kind is not supported. {_TAKEN}", param=place)
    return text
