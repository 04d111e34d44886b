"""The outermost gate, on every route: checks which host a request is for (Host), and which page sent it (Origin).

A browser page can reach a server on loopback: under its own Origin, or by DNS rebinding under its own Host.
"""

from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from codex_proxy.errors import HostNotServed, OriginNotAllowed
from codex_proxy.settings import Settings

_ORIGIN = web.RequestKey("origin", str)
_PREFLIGHT_SECONDS = 600
_ALLOWED_HEADERS = "authorization, content-type, *"  # SDKs send many headers of their own; the star does not cover authorization


def guard(settings: Settings) -> Middleware:
    """Return a middleware that serves only the hosts and origins in the settings."""
    hosts = {name.lower().strip("[]") for name in settings.allowed_hosts} | {settings.host.lower().strip("[]")}

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _name(request.headers.get("Host", "")) not in hosts:
            raise HostNotServed("This server does not serve that host. The operator can add it to PROXY_ALLOWED_HOSTS.")
        origin = request.headers.get("Origin")
        if origin is None or _is_own(origin, request):
            return await handler(request)
        if origin not in settings.cors_origins:
            raise OriginNotAllowed("This server does not serve that origin. The operator can add it to PROXY_CORS_ORIGINS.")
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return web.Response(status=204, headers=_preflight(origin))
        request[_ORIGIN] = origin
        return await handler(request)

    return check


async def allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Let a page of an allowed origin read the response, when it is prepared."""
    if origin := request.get(_ORIGIN):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "*"
        response.headers["Vary"] = "Origin"


def _is_own(origin: str, request: web.Request) -> bool:
    """Return whether the page is the console of this server: its host is ours, and the browser does not call it another site.

    The scheme is not compared, because only a reverse proxy knows ours; where it matters, the browser reports it (Sec-Fetch-Site).
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    scheme, _, host = origin.partition("://")
    return site == "same-origin" and scheme in ("http", "https") and host.lower() == request.headers.get("Host", "").lower()


def _name(host: str) -> str:
    try:
        return "" if "@" in host else (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _preflight(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, POST, DELETE",
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
        "Vary": "Origin",
    }
