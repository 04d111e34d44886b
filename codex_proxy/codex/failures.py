"""Translate Codex's reasons for failed turns and refused requests into our errors. Pure. CLI 0.147.0 to 0.171.0.

Codex's own message may contain the provider's URL, so it goes into the detail; a client sees only what the provider wrote into
the body of a 400, without addresses.
"""

import re
from typing import Any

import msgspec

from codex_proxy.codex import wire
from codex_proxy.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    NotLoggedIn,
    ProxyError,
    QuotaExceeded,
    RateLimited,
    UpstreamFailed,
    WorkerFailed,
    WorkspaceUnusable,
)

_RETRY_AFTER = 20.0  # seconds; a provider's 429 reaches us without its own Retry-After
_QUOTA_RETRY_AFTER = 300.0
_INVALID_REQUEST, _INVALID_PARAMS = -32600, -32602
_LONGEST_REASON = 500  # characters
_BAD_ITEM = re.compile(r"items\[\d+\] is not a valid response item: ")  # the index counts history items, not the request's
_NOT_OF_THE_CLIENTS = ("thread ", "failed to load configuration")  # about a lost thread, or the operator's own files
_REFUSED = "Invalid prompt: "  # of OpenAI's response.failed with code invalid_prompt
_PROJECT_UNREADABLE = "failed to load configuration: Failed to read project "  # for instance, config.toml is a directory or a pipe
_STATUS = re.compile(r"\bstatus:? (\d{3})\b")
_ADDRESS = re.compile(r"\b\w+://\S+")
_PATH = re.compile(r"(?<![\w.])/[\w.-][^\s:,'\"`]*")


def failure(error: wire.TurnError) -> ProxyError:
    """The error that a client gets for a failed turn."""
    word, status = _word_and_status(error.codex_error_info)
    detail = f"{word} {status or ''}: {error.message}"
    match word, status:
        case "contextWindowExceeded", _:
            return ContextTooLong("The conversation exceeds the model's context window.", param="messages", detail=detail)
        case (("usageLimitExceeded" | "sessionBudgetExceeded"), _):
            return QuotaExceeded("The Codex account's quota is used up.", detail=detail, retry_after=_QUOTA_RETRY_AFTER)
        case "rateLimitExceeded", _:
            return RateLimited("The model provider's rate limit is reached.", detail=detail, retry_after=_RETRY_AFTER)
        case _, 429:
            return RateLimited("The model provider answered 429: too many requests.", detail=detail, retry_after=_RETRY_AFTER)
        case "modelNotFound", _:
            return ModelNotFound("The model provider does not know this model.", param="model", detail=detail)
        case "unauthorized", _:
            return NotLoggedIn("Codex is not logged in to its model provider.", detail=detail)
        case (("cyberPolicy" | "bioPolicy" | "misalignmentPolicyViolation"), _):
            return InvalidRequest("The model provider refused the request because of its usage policy.", detail=detail)
        case "sandboxError", _:
            return WorkerFailed("Codex's sandbox failed.", detail=detail)
        case _, int():
            return UpstreamFailed(f"The model provider answered {status}.", detail=detail)
        case "internalServerError", _:
            return UpstreamFailed("The model provider answered 500: an internal error.", detail=detail)
        case "serverOverloaded", _:
            return UpstreamFailed("The model provider answered that it is overloaded.", detail=detail)
        case _, _:
            return _from_provider(error.message, detail)


def refusal(method: str, error: wire.RpcError, *, brought: bool) -> ProxyError:
    """The error that a client gets when Codex refuses a request of ours. `brought`: it contained something from the client."""
    said = error.message
    if method == "account/read":  # CLI 0.163 and 0.169 ask ChatGPT about the account on the first one
        return WorkerFailed("Codex could not check its login with ChatGPT.", detail=f"{method}: {said}")
    if said.startswith(_PROJECT_UNREADABLE):
        problem = "The workspace's .codex directory has a configuration that is not a readable file. Remove it."
        return WorkspaceUnusable(problem, param="x_codex.cwd", detail=f"{method}: {said}")
    if error.code == _INVALID_PARAMS and "maximum length" in said:
        return ContextTooLong(said, param="messages")
    if error.code != _INVALID_REQUEST or not brought or said.startswith(_NOT_OF_THE_CLIENTS):
        return WorkerFailed("The Codex CLI refused the request.", detail=f"{method}: {said}")
    reason = _BAD_ITEM.sub("", _PATH.sub("…", _ADDRESS.sub("…", said)))[:_LONGEST_REASON]
    what, param = (
        ("the tools", "tools") if method == "thread/start" else ("this request", "messages" if _BAD_ITEM.match(said) else None)
    )
    return InvalidRequest(f"Codex does not accept {what}: {reason}", param=param, detail=f"{method}: {said}")


def _word_and_status(info: str | dict[str, Any] | None) -> tuple[str, int | None]:
    if isinstance(info, dict) and info:
        word, about = next(iter(info.items()))
        status = about.get("httpStatusCode") if isinstance(about, dict) else None
        return word, status if isinstance(status, int) else None
    return (info or "other") if isinstance(info, str) else "other", None


def _from_provider(message: str, detail: str) -> ProxyError:
    """The error for a message that is the JSON body of a provider's 400 or the words of its refusal, or describes what broke."""
    try:
        words = msgspec.json.decode(message, type=_ProviderRefusal).error.message
    except msgspec.DecodeError:
        if not message.startswith(_REFUSED):
            return UpstreamFailed(_what_broke(message), detail=detail)
        words = message
    said = _ADDRESS.sub("…", words)[:_LONGEST_REASON]
    return InvalidRequest(f"The model provider refused the request: {said}", detail=detail)


def _what_broke(message: str) -> str:
    """The kind of failure, judged by the CLI's wording (0.147.0 to 0.169.0)."""
    if found := _STATUS.search(message):
        return f"The model provider answered {found[1]}."
    if message.startswith("stream disconnected") and "error sending request" not in message:
        return "The model provider broke off the answer."
    return "The model provider could not be reached, or closed the connection."


class _ProviderError(msgspec.Struct):
    message: str


class _ProviderRefusal(msgspec.Struct):
    error: _ProviderError
