"""All errors that we raise. The HTTP status of each is in the table of `web/errors.py`.

A message is meant for the client, so it contains no path, stderr or provider URL. What only the operator may see goes into
`detail`, which is logged and never sent.
"""

import math


class ProxyError(Exception):
    """An error reported to the client. `param` is the path of the request member at fault; None if there is none.

    `begun`: the turn, or what else was asked for, had begun: retrying could repeat its work.
    """

    code: str | None = None

    def __init__(
        self, message: str, *, param: str | None = None, detail: str = "", retry_after: float | None = None, begun: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.detail = detail
        self.retry_after = retry_after  # seconds
        self.logged = False  # already in the log line of its turn
        self.begun = begun

    @property
    def told(self) -> str:
        """The message for the client, including the time to wait, because chat UIs do not show Retry-After."""
        if self.retry_after is None or self.begun:
            return self.message
        return f"{self.message.removesuffix('Try again.').rstrip()} Try again in {math.ceil(self.retry_after)} s."


class InvalidRequest(ProxyError):
    """The request is malformed: bad JSON, a wrong type, or a missing or unknown member."""


class UnsupportedParameter(ProxyError):
    """The request asks for something that we do not support, and ignoring it would mislead the client."""

    code = "unsupported_parameter"


class ContextTooLong(ProxyError):
    """The conversation is too long for the model, or one message is too long for the CLI."""

    code = "context_length_exceeded"


class ModelNotFound(ProxyError):
    """There is no such model in the catalogue."""

    code = "model_not_found"


class TurnNotFound(ProxyError):
    """No such turn is running or waiting, or the caller may not see it."""

    code = "not_found"


class RouteNotFound(ProxyError):
    """There is no such route."""

    code = "not_found"


class MethodNotAllowed(ProxyError):
    """The route exists but does not support this method."""

    code = "method_not_allowed"


class InvalidApiKey(ProxyError):
    """The bearer token is missing or unknown."""

    code = "invalid_api_key"


class Forbidden(ProxyError):
    """The server or the key does not allow what the request asks for."""

    code = "permission_denied"


class WorkspaceUnusable(ProxyError):
    """The turn's working directory cannot be entered or read. The message names it, since the user knows it."""

    code = "workspace_unusable"


class SandboxNotAllowed(ProxyError):
    """The request asks for a wider sandbox or for network access beyond what the server or the key allows."""

    code = "sandbox_not_allowed"


class NotAllowedHere(ProxyError):
    """Danger mode is off, or the provider is not local; documented in the README as a bad request."""

    code = "not_allowed"


class HostNotServed(ProxyError):
    """The Host header names another host: DNS rebinding, or a reverse proxy whose host is not listed."""

    code = "host_not_served"


class OriginNotAllowed(ProxyError):
    """The request comes from a browser page whose origin is not listed."""

    code = "origin_not_allowed"


class BodyTooLarge(ProxyError):
    """The body is over PROXY_MAX_BODY_MB."""

    code = "request_too_large"


class UnsupportedMediaType(ProxyError):
    """The body is not application/json."""

    code = "unsupported_media_type"


class RequestTimeout(ProxyError):
    """The request's headers or body arrived too slowly."""

    code = "request_timeout"


class RateLimited(ProxyError):
    """The client has sent too many requests in a minute."""

    code = "rate_limit_exceeded"


class QuotaExceeded(ProxyError):
    """The Codex account's quota is used up."""

    code = "insufficient_quota"


class UpstreamFailed(ProxyError):
    """The model provider could not be reached, refused the request, or broke off its answer."""

    code = "upstream_error"


class WorkerFailed(ProxyError):
    """The CLI process exited, or violated its protocol."""

    code = "worker_crashed"


class QueueFull(ProxyError):
    """The queue of waiting turns is full."""

    code = "server_overloaded"


class ServerFull(ProxyError):
    """The request bodies being read or waiting have reached their total size limit."""

    code = "server_overloaded"


class TooManyConnections(ProxyError):
    """The limit of connections at work is reached."""

    code = "server_overloaded"


class ShuttingDown(ProxyError):
    """The server is shutting down."""

    code = "shutting_down"


class NotReady(ProxyError):
    """No turn can run now: there is no worker or provider."""

    code = "not_ready"


class NotLoggedIn(NotReady):
    """No turn can run until a person logs Codex in, so clients are told not to retry."""


class StorageFull(ProxyError):
    """The store cannot save anything more because the disk is full."""

    code = "insufficient_storage"


class StoreUnavailable(ProxyError):
    """The store cannot be reached or does not work."""

    code = "store_unavailable"


class ResponseNotFound(ProxyError):
    """There is no such response, or it belongs to somebody else, which must look the same."""

    code = "response_not_found"


class ConversationNotFound(ProxyError):
    """There is no such conversation, or it belongs to somebody else, which must look the same."""

    code = "conversation_not_found"


class ItemNotFound(ProxyError):
    """The conversation has no such item."""

    code = "item_not_found"


class ConversationLocked(ProxyError):
    """Another response is being generated in the conversation."""

    code = "conversation_locked"


class RecordEnded(ProxyError):
    """The stored response has already ended, and stays so: another writer was first."""

    code = "response_ended"


class IdempotencyConflict(ProxyError):
    """The idempotency key was used before with another body."""

    code = "idempotency_key_reused"


class TurnTimeout(ProxyError):
    """The turn ran out of time."""

    code = "timeout"


class InternalError(ProxyError):
    """A bug in the server. The detail is in the log with the request's id."""

    code = "internal_error"


class CommandNotFound(Exception):
    """The Codex CLI is missing or too old. The message says how to fix it."""


class CommandFailed(Exception):
    """A console command cannot continue. The message is a sentence for the user."""
