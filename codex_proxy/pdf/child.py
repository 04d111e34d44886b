"""The process that reads one PDF: file on stdin, JSON lines on stdout. It runs as a script and imports nothing from this package.

Before parsing, it gives up what it does not need: it cannot start processes or write files, and its memory and CPU time are
limited. Whatever a hostile file does to PDFium ends with this process.
"""

import base64
import contextlib
import io
import json
import os
import resource
import sys

import pypdfium2
from PIL import Image

_DPI = 150
_LONG_SIDE = 1568  # pixels; models do not use more of an image
_MAX_POINTS = 1_000_000.0
_QUALITY = 85  # JPEG quality
_MEMORY_BYTES, _CPU_SECONDS, _NICE = 1024 * 1024 * 1024, 15, 10


class _Refused(Exception):
    """The file is refused. The message is for the client."""


def main(most_pages: int, most_characters: int) -> None:
    """Write {"pages": number} and a line {"text", "image"} for each page, or {"problem"}, to stdout."""
    _give_up_rights()
    try:
        pages = _pages(sys.stdin.buffer.read(), most_pages, most_characters)
        lines: list[dict[str, object]] = [{"pages": len(pages)}, *pages]
    except _Refused as refused:
        lines = [{"problem": str(refused)}]
    for line in lines:
        sys.stdout.buffer.write(json.dumps(line).encode() + b"\n")
    sys.stdout.buffer.flush()


def _give_up_rights() -> None:
    """Drop rights as far as the system allows."""
    Image.init()  # imports the encoders
    limits = {
        resource.RLIMIT_AS: _MEMORY_BYTES,
        resource.RLIMIT_CPU: _CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    os.nice(_NICE)  # turns come first
    for which, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, (limit, limit))


def _pages(content: bytes, most_pages: int, most_characters: int) -> list[dict[str, object]]:
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        reason = "is protected with a password" if "password" in str(error).lower() else "is damaged"
        raise _Refused(f"The PDF {reason}.") from error
    number = len(document)
    if not 0 < number <= most_pages:
        raise _Refused(f"A PDF can have up to {most_pages} pages; this one has {number}.")
    found: list[dict[str, object]] = []
    for at in range(number):
        try:
            text, image = _page(document[at], most_characters)
        except pypdfium2.PdfiumError as error:
            raise _Refused(f"Page {at + 1} of the PDF is damaged.") from error
        found.append({"text": text, "image": image})
        most_characters -= len(text)
    return found


def _page(page: pypdfium2.PdfPage, most_characters: int) -> tuple[str, str]:
    """Return the text of a page and its image as a data: URL."""
    width, height = page.get_size()
    if not (0 < width < _MAX_POINTS and 0 < height < _MAX_POINTS):
        raise _Refused("The PDF has a page without a size.")
    words = page.get_textpage()
    if words.count_chars() > most_characters:
        raise _Refused("The PDF has more text than fits into a conversation.")
    text = words.get_text_range().encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\0", "")
    picture = io.BytesIO()
    scale = min(_DPI / 72, _LONG_SIDE / max(width, height))
    page.render(scale=scale).to_pil().convert("RGB").save(picture, "JPEG", quality=_QUALITY)
    return text, f"data:image/jpeg;base64,{base64.b64encode(picture.getvalue()).decode()}"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
