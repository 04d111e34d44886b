"""Pictures for tests: one that is real, because the CLI looks into images, and the beginnings of others."""

import base64
import struct

# A PNG of one pixel.
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

# A PNG of one pixel whose pixels are cut off: only whoever decodes it sees that.
DAMAGED = "data:image/png;base64," + base64.b64encode(base64.b64decode(PIXEL.partition(",")[2])[:45]).decode()


def png(width: int, height: int) -> bytes:
    """The signature, the header and its check sum; no pixels."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + struct.pack(">II", width, height) + bytes(9)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(3) + b";"


def jpeg(
    width: int, height: int, *, frame: int = 0xC0, before: bytes = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
) -> bytes:
    """`before`: what comes before the frame header, whose marker is `frame`."""
    return b"\xff\xd8" + before + bytes((0xFF, frame, 0, 17, 8)) + struct.pack(">HH", height, width) + bytes(10)


def webp(form: str, width: int, height: int) -> bytes:
    """`form`: "VP8 ", "VP8L" or "VP8X"."""
    if form == "VP8X":
        chunk = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif form == "VP8L":
        chunk = b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14)
    else:
        chunk = b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF\x00\x01\x00\x00WEBP" + form.encode() + bytes(4) + chunk


def data_url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
