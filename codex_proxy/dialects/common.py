"""What the dialects share: the error body, x_codex, one-line descriptions of the agent's work."""

from typing import Annotated, Literal, assert_never

import msgspec

from codex_proxy.turns import Command, McpCall, Mode, Patch, Sandbox, Search, Usage, Waiting, Work

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"]
Verbosity = Literal["low", "medium", "high"]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]
Metadata = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]], msgspec.Meta(max_length=16)
]
TokenLimit = Annotated[int, msgspec.Meta(ge=1, le=2**31)]

_LINE_LENGTH = 200
# Codex drops every other tier; its own name for `priority` is `fast` (0.147.0 to 0.169.0).
_PASSED_ON_TIERS = {"flex": "flex", "priority": "priority", "fast": "priority", "ultrafast": "priority"}


class XCodex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request member `x_codex`: options that OpenAI's API does not have."""

    sandbox: Sandbox | None = None
    network_access: bool | None = None
    reasoning_effort: Effort | None = None
    hide_reasoning: bool | None = None
    expose_reasoning: bool | None = None
    mode: Mode | None = None
    cwd: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None
    activity: Literal["reasoning", "none"] | None = None
    conversation: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None


class UsageExtras(msgspec.Struct, frozen=True):
    """`counted` is true when a model response was cut off without a token count, so this server counted the tokens."""

    counted: bool = True


Counted = UsageExtras | msgspec.UnsetType


def counted(usage: Usage) -> Counted:
    """Return the marker for usage that this server counted itself."""
    return UsageExtras() if usage.counted else msgspec.UNSET


class ErrorObject(msgspec.Struct, frozen=True):
    """What went wrong. `param` is the path of the request member at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct, frozen=True):
    """OpenAI's error form: the body of every refusal, and the frame that ends a stream."""

    error: ErrorObject


def service_tier(tier: str | None) -> str | None:
    """Return the tier in Codex's terms; None for auto, default and scale, which Codex does by default."""
    return _PASSED_ON_TIERS.get(tier or "")


def told_apart(user: str | None, safety_identifier: str | None, prompt_cache_key: str | None, extra: XCodex) -> tuple[str, ...]:
    """Return the values by which a client tells its conversations apart: two people who share a key never share a conversation."""
    return (user or "", safety_identifier or "", prompt_cache_key or "", extra.conversation or "")


def work_line(work: Work) -> str:
    """Describe a piece of the agent's work in one line."""
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


def waiting_for(event: Waiting) -> str:
    """Return what a turn waits for, in words."""
    return {"worker": "a free worker", "provider": "the model provider, which failed and is asked again"}[event.on]


def plan_line(steps: tuple[tuple[str, str], ...]) -> str:
    """Format the plan as one line."""
    marks = {"completed": "x", "in_progress": "~"}
    return "plan: " + "; ".join(f"[{marks.get(status, ' ')}] {' '.join(step.split())}" for step, status in steps)
