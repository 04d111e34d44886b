"""POST /v1/completions: the body and what it asks for. OpenAI API reference, "Create completion" (legacy).

Always in chat mode: these clients show plain text, and do not expect it to run programs.
"""

from typing import Annotated, Any

import msgspec

from codex_proxy.dialects import body, bounds
from codex_proxy.dialects.chat.request import ChatRequest, StreamOptions
from codex_proxy.dialects.common import Effort, TokenLimit, XCodex, told_apart
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.history import Text
from codex_proxy.wish import Wish

_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Weight = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_Stop = Annotated[str, msgspec.Meta(min_length=1, max_length=bounds.STOP)]

# Accepted without effect, and named in the header x-codex-ignored: Codex has no counterpart.
IGNORED = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed")


class Body(msgspec.Struct, frozen=True):
    """The request body. Unknown members are ignored and named in `x-codex-ignored`."""

    prompt: str | Annotated[list[Any], msgspec.Meta(max_length=bounds.ITEMS)]  # Any: texts; tokens are refused
    model: _Name | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: TokenLimit | None = None
    stop: _Stop | Annotated[list[_Stop], msgspec.Meta(max_length=4)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    best_of: Annotated[int, msgspec.Meta(ge=1, le=20)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=5)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    presence_penalty: _Weight | None = None
    frequency_penalty: _Weight | None = None
    logit_bias: dict[str, float] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    reasoning_effort: Effort | None = None
    user: _Name | None = None
    x_codex: XCodex | None = None


def decode(raw: bytes | bytearray) -> ChatRequest:
    """Decode a body into a chat request. Raises InvalidRequest or UnsupportedParameter, with the path of the member at fault."""
    asked = body.decode(raw, Body)
    _refuse_unsupported(asked)
    extra = asked.x_codex or XCodex()
    wish = Wish(
        model=asked.model,
        history=(),
        input=(Text(_prompt(asked.prompt)),),
        effort=asked.reasoning_effort or extra.reasoning_effort,
        effort_place="reasoning_effort" if asked.reasoning_effort else "x_codex.reasoning_effort",
        mode="chat",
        sandbox=extra.sandbox,
        network=extra.network_access,
        cwd=extra.cwd,
        hide_reasoning=True,
        apart=told_apart(asked.user, None, None, extra),
    )
    return ChatRequest(
        wish=wish,
        stream=asked.stream or False,
        include_usage=(asked.stream_options or StreamOptions()).include_usage or False,
        stop=(asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ()),
        max_tokens=asked.max_tokens,
        show_activity=False,
        json=False,
        ignored=body.ignored(raw, Body, IGNORED),
    )


def _prompt(given: str | list[Any]) -> str:
    text = given[0] if isinstance(given, list) and len(given) == 1 else given
    if isinstance(text, list) and text and all(isinstance(one, str) for one in text):
        raise UnsupportedParameter("A request can have one prompt here. Send a request for each.", param="prompt")
    if not isinstance(text, str):
        raise UnsupportedParameter("The prompt must be text; prompts of tokens are not supported.", param="prompt")
    if not text.strip():
        raise InvalidRequest("The prompt is empty.", param="prompt")
    return text


def _refuse_unsupported(asked: Body) -> None:
    refusals = {
        "n": (asked.n or 1) > 1,
        "best_of": (asked.best_of or 1) > 1,
        "echo": asked.echo or False,
        "suffix": bool(asked.suffix),
        "logprobs": asked.logprobs is not None,
        "x_codex.mode": asked.x_codex is not None and asked.x_codex.mode == "agent",
    }
    for name, refused in refusals.items():
        if refused:
            raise UnsupportedParameter(f"This server does not support {name!r} as given here.", param=name)
