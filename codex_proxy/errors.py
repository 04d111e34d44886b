"""Every error we raise. No HTTP status in here: `web/errors.py` has the one table for that.

A message is meant for the client, so it holds no path, no stderr and no provider URL; what only the operator may
see goes into `detail`, which is logged and never sent. Every class is one entry of SPEC 3's table of errors.
"""

import math


class ProxyError(Exception):
    """Something that a client is told. `param` is the path of the request member at fault, None when there is none."""

    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.detail = detail
        self.retry_after = retry_after  # seconds
        self.logged = False  # the line of its turn has told it
        self.begun = False  # the turn had begun: a repetition could do its work twice

    @property
    def told(self) -> str:
        """The message as a client is told it: with the wait, because chat UIs show no Retry-After."""
        if self.retry_after is None or self.begun:
            return self.message
        return f"{self.message.removesuffix('Try again.').rstrip()} Try again in {math.ceil(self.retry_after)} s."


class InvalidRequest(ProxyError):
    """The request is malformed: bad JSON, a wrong type, a missing or an unknown member."""


class UnsupportedParameter(ProxyError):
    """The request asks for something that we cannot do and whose absence would mislead."""

    code = "unsupported_parameter"


class ContextTooLong(ProxyError):
    """The conversation is longer than the model, or one message longer than the CLI, takes."""

    code = "context_length_exceeded"


class ModelNotFound(ProxyError):
    """No such model in the catalogue."""

    code = "model_not_found"


class TurnNotFound(ProxyError):
    """No such turn runs or waits, or it is not the caller's to see."""

    code = "not_found"


class RouteNotFound(ProxyError):
    """No such route."""

    code = "not_found"


class MethodNotAllowed(ProxyError):
    """The route exists, this method on it does not."""

    code = "method_not_allowed"


class InvalidApiKey(ProxyError):
    """The bearer token is missing or unknown."""

    code = "invalid_api_key"


class Forbidden(ProxyError):
    """The server or the key does not allow what the request asks for."""

    code = "permission_denied"


class WorkspaceUnusable(ProxyError):
    """The directory that the turn is to work in cannot be entered or read. The message names it: its user knows it."""

    code = "workspace_unusable"


class SandboxNotAllowed(ProxyError):
    """The request asks for a wider sandbox, or network, than the server or the key allows."""

    code = "sandbox_not_allowed"


class NotAllowedHere(ProxyError):
    """Danger mode is off, or the provider is not local: refused as a bad request, as the README says."""

    code = "not_allowed"


class HostNotServed(ProxyError):
    """The Host header names somebody else: DNS rebinding, or a reverse proxy whose host is not listed."""

    code = "host_not_served"


class OriginNotAllowed(ProxyError):
    """A browser page of an origin that is not listed."""

    code = "origin_not_allowed"


class BodyTooLarge(ProxyError):
    """The body is over PROXY_MAX_BODY_MB."""

    code = "request_too_large"


class UnsupportedMediaType(ProxyError):
    """The body is not application/json."""

    code = "unsupported_media_type"


class RequestTimeout(ProxyError):
    """The request's headers or its body came too slowly."""

    code = "request_timeout"


class RateLimited(ProxyError):
    """Too many requests in a minute."""

    code = "rate_limit_exceeded"


class QuotaExceeded(ProxyError):
    """The Codex account's quota is used up."""

    code = "insufficient_quota"


class UpstreamFailed(ProxyError):
    """The model provider could not be reached, refused, or broke off."""

    code = "upstream_error"


class WorkerFailed(ProxyError):
    """The CLI process ended, or said something that it never should."""

    code = "worker_crashed"


class QueueFull(ProxyError):
    """As many turns wait as may wait."""

    code = "server_overloaded"


class ServerFull(ProxyError):
    """The bodies that are read or wait are together as large as they may be."""

    code = "server_overloaded"


class TooManyConnections(ProxyError):
    """As many connections are at work as there may be."""

    code = "server_overloaded"


class ShuttingDown(ProxyError):
    """The server is being stopped."""

    code = "shutting_down"


class NotReady(ProxyError):
    """No turn could run now: no worker, no login, no provider."""

    code = "not_ready"


class StorageFull(ProxyError):
    """The store cannot keep anything more: the disk is full."""

    code = "insufficient_storage"


class StoreUnavailable(ProxyError):
    """The store cannot be reached or does not work."""

    code = "store_unavailable"


class ResponseNotFound(ProxyError):
    """No such response, or it belongs to somebody else, which is the same."""

    code = "response_not_found"


class ConversationNotFound(ProxyError):
    """No such conversation, or it belongs to somebody else, which is the same."""

    code = "conversation_not_found"


class ItemNotFound(ProxyError):
    """The conversation has no such item."""

    code = "item_not_found"


class ConversationLocked(ProxyError):
    """Another response is being made in the conversation."""

    code = "conversation_locked"


class RecordEnded(ProxyError):
    """The store's record of a response has an end already, and keeps it: somebody else wrote it meanwhile."""

    code = "response_ended"


class IdempotencyConflict(ProxyError):
    """The idempotency key came with another body before."""

    code = "idempotency_key_reused"


class TurnTimeout(ProxyError):
    """The turn ran out of time."""

    code = "timeout"


class InternalError(ProxyError):
    """A bug of ours. The detail is in the log, with the request's id."""

    code = "internal_error"


class CommandNotFound(Exception):
    """The Codex CLI is missing or too old. The message has the command that mends it."""


class CommandFailed(Exception):
    """A console command cannot go on. The message is a sentence for the person who typed it."""
