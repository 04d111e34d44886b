"""The pages: / for a browser (short JSON for other clients), /docs, and the files that they load. No key needed: they hold no data.

All files are read once. Their URLs contain a digest of all files, so browsers cache them forever and still load new ones right
after an update; URLs are relative, so the pages work under a path of a reverse proxy.
"""

import functools
import gzip
import hashlib
import re
from importlib import resources

import msgspec
from aiohttp import web

from codex_proxy import __version__
from codex_proxy.errors import RouteNotFound
from codex_proxy.web import errors

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# What only readers of the source need: comments (which hold the types), indentation, spaces in the style sheet. No string in a
# module has lines that begin with spaces or a comment sign; the tests run the result.
_READERS = re.compile(rb"/\*(?s:.*?)\*/\s?|^ *// .*\n|^ +", re.MULTILINE)
_STYLED = re.compile(rb" ?([{:;,]) |;?\n?(\})")
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_FIRST = "no-cache"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind} 'self'" for kind in ("script-src", "style-src", "connect-src")),
        "img-src 'self' data:",  # the user's attachments
        *(f"{kind} 'none'" for kind in ("base-uri", "form-action", "frame-ancestors")),
    )
)
_SAFE = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class File(msgspec.Struct, frozen=True):
    """A file, plain and compressed."""

    content: bytes
    squeezed: bytes
    kind: str
    etag: str


class Index(msgspec.Struct, frozen=True):
    """The answer of / to a program."""

    name: str = "codex-proxy"
    version: str = __version__
    api: str = "v1"
    openapi: str = "openapi.json"
    docs: str = "docs"


async def index(request: web.Request) -> web.Response:
    """Return the console to a browser, and JSON to other clients."""
    if "text/html" not in request.headers.get("Accept", ""):
        answer = errors.json_response(msgspec.json.encode(Index()))
        answer.headers["Vary"] = "Accept"
        return answer
    return _answer(request, _files()["index.html"], _ASK_FIRST)


async def docs(request: web.Request) -> web.Response:
    """Return the OpenAPI document as a page."""
    return _answer(request, _files()["docs.html"], _ASK_FIRST)


async def asset(request: web.Request) -> web.Response:
    """Return a file that a page loads; under the URL of another version, it must be revalidated."""
    file = _files().get(request.match_info["name"])
    if file is None or file.kind == _KINDS["html"]:
        raise RouteNotFound(f"Unknown route: GET {request.path[:200]}")
    return _answer(request, file, _FOR_EVER if request.match_info["version"] == version() else _ASK_FIRST)


ROUTES = (("GET", "/", index), ("GET", "/docs", docs), ("GET", "/console/{version}/{name}", asset))


@functools.cache
def version() -> str:
    """Return a digest of all files."""
    return hashlib.sha256(b"".join(content for _, content in sorted(_raw().items()))).hexdigest()[:16]


@functools.cache
def _raw() -> dict[str, bytes]:
    there = resources.files(__package__) / "static"
    return {file.name: file.read_bytes() for file in there.iterdir() if file.name.rpartition(".")[2] in _KINDS}


@functools.cache
def _files() -> dict[str, File]:
    modules = sorted(name for name in _raw() if name.endswith(".js") and name not in ("main.js", "docs.js"))
    preload = "\n".join(f'<link rel="modulepreload" href="console/{version()}/{name}">' for name in modules)
    return {name: _file(name, raw, preload) for name, raw in _raw().items()}


def _file(name: str, raw: bytes, preload: str) -> File:
    kind = name.rpartition(".")[2]
    content = _READERS.sub(b"", raw) if kind in ("js", "css") else raw
    if kind == "css":
        content = _STYLED.sub(rb"\1\2", content)
    if kind == "html":
        content = content.replace(b"{preload}", preload.encode()).replace(b"{version}", version().encode())
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return File(content, gzip.compress(content, mtime=0), _KINDS[kind], etag)


def _answer(request: web.Request, file: File, caching: str) -> web.Response:
    headers = {**_SAFE, "Cache-Control": caching, "ETag": file.etag, "Vary": "Accept, Accept-Encoding"}
    if file.etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    squeezed = "gzip" in request.headers.get("Accept-Encoding", "")
    if squeezed:
        headers["Content-Encoding"] = "gzip"
    content = file.squeezed if squeezed else file.content
    return web.Response(body=content, headers=headers, content_type=file.kind, charset="utf-8")
