"""The mapping from our errors to HTTP: status, OpenAI's error type, headers. Also handles everything unforeseen."""

import logging
import math

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from codex_proxy import errors
from codex_proxy.dialects.common import ErrorBody, ErrorObject
from codex_proxy.errors import ProxyError
from codex_proxy.web import answers, paths, refusals
from codex_proxy.web.paths import PATHS

_log = logging.getLogger(__name__)

_INVALID = "invalid_request_error"
_SERVER = "server_error"
_TABLE: dict[type[ProxyError], tuple[int, str]] = {
    errors.InvalidRequest: (400, _INVALID),
    errors.UnsupportedParameter: (400, _INVALID),
    errors.ContextTooLong: (400, _INVALID),
    errors.NotAllowedHere: (400, _INVALID),
    errors.WorkspaceUnusable: (400, _INVALID),
    errors.ConversationLocked: (400, _INVALID),  # not 409, as in the API: clients recognize it by its code
    errors.InvalidApiKey: (401, _INVALID),
    errors.Forbidden: (403, _INVALID),
    errors.SandboxNotAllowed: (403, _INVALID),
    errors.OriginNotAllowed: (403, _INVALID),
    errors.ModelNotFound: (404, _INVALID),
    errors.RouteNotFound: (404, _INVALID),
    errors.TurnNotFound: (404, _INVALID),
    errors.ResponseNotFound: (404, _INVALID),
    errors.ConversationNotFound: (404, _INVALID),
    errors.ItemNotFound: (404, _INVALID),
    errors.MethodNotAllowed: (405, _INVALID),
    errors.RequestTimeout: (408, _INVALID),
    errors.IdempotencyConflict: (409, _INVALID),
    errors.RecordEnded: (409, _INVALID),
    errors.BodyTooLarge: (413, _INVALID),
    errors.UnsupportedMediaType: (415, _INVALID),
    errors.HostNotServed: (421, _INVALID),
    errors.RateLimited: (429, "requests"),
    errors.QuotaExceeded: (429, "insufficient_quota"),
    errors.InternalError: (500, _SERVER),
    errors.UpstreamFailed: (502, _SERVER),
    errors.WorkerFailed: (502, _SERVER),
    errors.QueueFull: (503, _SERVER),
    errors.ServerFull: (503, _SERVER),
    errors.TooManyConnections: (503, _SERVER),
    errors.ShuttingDown: (503, _SERVER),
    errors.NotReady: (503, _SERVER),
    errors.NotLoggedIn: (503, _SERVER),
    errors.StorageFull: (503, _SERVER),
    errors.StoreUnavailable: (503, _SERVER),
    errors.TurnTimeout: (504, _SERVER),
}


def body(error: ProxyError) -> bytes:
    """Return OpenAI's error object as JSON, for an answer or for the frame that ends a stream."""
    return msgspec.json.encode(ErrorBody(told(error)[1]))


def told(error: ProxyError) -> tuple[int, ErrorObject]:
    """Return the status and OpenAI's error object for an error."""
    status, kind = _TABLE[type(error)]
    return status, ErrorObject(error.told, kind, error.param, error.code)


def response(error: ProxyError) -> web.Response:
    """Build the answer to a request that failed before its stream began."""
    answer = json_response(body(error), _TABLE[type(error)][0])
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.begun or isinstance(error, errors.NotLoggedIn):
        answer.headers["x-should-retry"] = "false"
    if isinstance(error, errors.InvalidApiKey):
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def json_response(content: bytes, status: int = 200) -> web.Response:
    return web.Response(body=answers.body(content), status=status, content_type="application/json")


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into OpenAI's error object and a log line; a bug is logged with its traceback."""
    try:
        return await handler(request)
    except ProxyError as error:
        return _refuse(request, error)
    except web.HTTPNotFound:
        sentence = request.app[PATHS].instead(request.path) or paths.sentence(request.path)
        unknown = f"Unknown route: {request.method[:20]} {request.path[:200]}"
        return _refuse(request, errors.RouteNotFound(f"{unknown}. {sentence}" if sentence else unknown))
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        answer = _refuse(request, errors.MethodNotAllowed(f"{request.method[:20]} is not allowed here; allowed: {allowed}"))
        answer.headers["Allow"] = allowed
        return answer
    except web.HTTPRequestEntityTooLarge:
        return _refuse(request, errors.BodyTooLarge("The request body exceeds this server's limit (PROXY_MAX_BODY_MB)."))
    except web.HTTPException as error:
        return _refuse(request, errors.InvalidRequest(f"The request is not valid HTTP: {error.reason}."))
    except ConnectionError:
        return web.Response(status=499)  # the client has gone: there is nobody to answer
    except Exception:
        _log.exception("%s %s failed because of a bug", request.method, request.path)
        return response(errors.InternalError("Internal server error."))


def _refuse(request: web.Request, error: ProxyError) -> web.Response:
    answer = response(error)
    refusals.of_this_process.tell(request, answer.status, error)
    return answer
