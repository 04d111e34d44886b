"""What both dialects share: the error body, x_codex, images, the line that shows a piece of agent work."""

import base64
import binascii
import re
from typing import Annotated, Literal, assert_never

import msgspec

from codex_proxy.errors import InvalidRequest
from codex_proxy.turns import Command, Image, McpCall, Mode, Patch, Sandbox, Search, Work

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"]
Verbosity = Literal["low", "medium", "high"]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority"]
Metadata = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]], msgspec.Meta(max_length=16)
]
TokenLimit = Annotated[int, msgspec.Meta(ge=1, le=2**31)]

MAX_IMAGE_BYTES = 20 * 1024 * 1024
_DATA_URL = re.compile(r"data:image/(png|jpeg|gif|webp);base64,", re.ASCII | re.IGNORECASE)
_MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff", "gif": b"GIF8", "webp": b"RIFF"}
_KEPT_DETAILS = ("high", "original")  # for low the CLI leaves the image out (seen with 0.163.0); auto is its default
_LINE_LENGTH = 200
_PASSED_ON_TIERS = ("flex", "priority")


class XCodex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The member `x_codex` of a request: what OpenAI's API has no word for."""

    sandbox: Sandbox | None = None
    network_access: bool | None = None
    reasoning_effort: Effort | None = None
    hide_reasoning: bool | None = None
    expose_reasoning: bool | None = None
    mode: Mode | None = None
    cwd: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None
    activity: Literal["reasoning", "none"] | None = None


class ErrorObject(msgspec.Struct, frozen=True):
    """What went wrong. `param` is the path of the request member at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct, frozen=True):
    """OpenAI's error form: the body of every refusal, and the frame that ends a stream."""

    error: ErrorObject


def image(url: str, detail: str | None, place: str) -> Image:
    """An image that came as a data: URL. Raises InvalidRequest for any other address, and for what is not an image."""
    if not (found := _DATA_URL.match(url)):
        raise InvalidRequest(
            "Images are taken as data: URLs of PNG, JPEG, GIF or WebP in base64; addresses are not fetched.", param=place
        )
    encoded = url[found.end() :]
    if len(encoded) > MAX_IMAGE_BYTES * 4 // 3:
        raise InvalidRequest(f"An image may have {MAX_IMAGE_BYTES // 1024 // 1024} MB.", param=place)
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("The image is not valid base64.", param=place) from error
    kind = found[1].lower()
    if not content.startswith(_MAGIC[kind]):
        raise InvalidRequest(f"The image is not a {kind} file.", param=place)
    if kind == "webp" and content[8:12] != b"WEBP":
        raise InvalidRequest("The image is not a webp file.", param=place)
    return Image(f"data:image/{kind};base64,{encoded}", detail if detail in _KEPT_DETAILS else None)


def service_tier(tier: str | None) -> str | None:
    """The tiers that Codex has a word for; auto, default and scale are what it does anyway."""
    return tier if tier in _PASSED_ON_TIERS else None


def work_line(work: Work) -> str:
    """One readable line on something that the agent does."""
    match work:
        case Command():
            line = f"$ {work.command}"
        case Patch():
            line = "edited " + ", ".join(f"{path} ({kind})" for path, kind, _ in work.changes)
        case McpCall():
            line = f"called {work.server}.{work.tool} {work.arguments}"
        case Search():
            line = f"searched the web: {work.query}"
        case _:
            assert_never(work)
    flat = " ".join(line.split())
    return flat if len(flat) <= _LINE_LENGTH else flat[: _LINE_LENGTH - 1] + "…"


def plan_line(steps: tuple[tuple[str, str], ...]) -> str:
    """The plan in one line."""
    marks = {"completed": "x", "in_progress": "~"}
    return "plan: " + "; ".join(f"[{marks.get(status, ' ')}] {' '.join(step.split())}" for step, status in steps)
