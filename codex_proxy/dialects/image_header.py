"""Image sizes from the headers of PNG, JPEG, GIF and WebP. No pixels are decoded: the files are untrusted."""

from collections.abc import Callable

Size = tuple[int, int]  # width and height, in pixels

_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers that start a frame
_MAX_SEGMENTS = 4096  # JPEG segments to scan: a photograph has a few dozen before its frame
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD8)))  # JPEG markers without a length


def kind_of(content: bytes) -> str | None:
    """Return which of KINDS an image is, by its first bytes; None for any other."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((kind for kind, start in _STARTS.items() if content.startswith(start)), None)


def size(kind: str, content: bytes) -> Size | None:
    """Return the size of an image of one of KINDS; None if it is of another kind or its header is incomplete."""
    found = _READERS[kind](content)
    return found if found and all(found) else None


def _png(content: bytes) -> Size | None:
    """PNG, 11.2.1: IHDR comes first."""
    if not content.startswith(_PNG) or len(content) < 33:
        return None
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def _gif(content: bytes) -> Size | None:
    """GIF89a, 18: the logical screen. The CLI refuses a larger frame (0.163.0)."""
    if content[:6] not in (b"GIF87a", b"GIF89a") or len(content) < 13:
        return None
    return _little(content[6:8]), _little(content[8:10])


def _jpeg(content: bytes) -> Size | None:
    """ITU T.81, B.2: the segments up to the first frame header, which has the size."""
    if not content.startswith(b"\xff\xd8"):
        return None
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if at + 9 > len(content) or content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _FRAMES:
            return int.from_bytes(content[at + 7 : at + 9]), int.from_bytes(content[at + 5 : at + 7])
        else:
            at += 2 + max(2, int.from_bytes(content[at + 2 : at + 4]))
    return None


def _webp(content: bytes) -> Size | None:
    """RFC 9649: the canvas of the extended form, or the only frame of the simple forms."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 25:
        return None
    form, chunk = content[12:16], content[20:30]
    if form == b"VP8X" and len(chunk) == 10:
        return _little(chunk[4:7]) + 1, _little(chunk[7:10]) + 1
    if form == b"VP8L" and chunk[0] == 0x2F:
        bits = _little(chunk[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if form == b"VP8 " and len(chunk) == 10 and chunk[3:6] == b"\x9d\x01\x2a":
        return _little(chunk[6:8]) & 0x3FFF, _little(chunk[8:10]) & 0x3FFF
    return None


def _little(content: bytes) -> int:
    return int.from_bytes(content, "little")


_READERS: dict[str, Callable[[bytes], Size | None]] = {"png": _png, "jpeg": _jpeg, "gif": _gif, "webp": _webp}
_STARTS = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8", "gif": b"GIF8"}
KINDS = tuple(_READERS)
