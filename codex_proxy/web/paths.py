"""Paths that clients use and this server does not have: the route that is meant, or what there is instead.

A base URL without /v1, with two of them, or with a trailing slash works as if it were right: the request gets the route's own path
before anything reads it, so key, limits, log and metrics are those of the route. It is never redirected: clients follow a
redirected POST with a GET. Any other path that ends like a route is a 404 that names the route.
"""

import re
from collections.abc import Callable, Iterable

from aiohttp import web
from yarl import URL

_VERSION = "v1"
_BASE_URL = "The base URL of a client is this server's address with /v1 at its end."
_V1 = re.compile(r"/v1(?=/)")
_MEDIA = "This server generates text and no {}."
_FILES = "This server stores no files. Send a file inside the request: text and PDF as file_data, an image as image_url."
_SENTENCES = {
    "embeddings": "This server makes no embeddings: Codex has no embedding model. Point the client's embedding provider elsewhere.",
    "audio": "This server neither hears nor speaks: Codex has no audio model.",
    "realtime": "This server has no realtime sessions. Use /v1/responses, also over a WebSocket.",
    "live": "This server has no live sessions. Use /v1/responses, also over a WebSocket.",
    "images": _MEDIA.format("images"),
    "videos": _MEDIA.format("videos"),
    "moderations": "This server has no moderation model.",
    "files": _FILES,
    "uploads": _FILES,
    "vector_stores": "This server has no vector stores. An agent turn can search the files of its workspace.",
    "containers": "This server has no containers. An agent turn runs its commands in the sandbox of its workspace.",
    "batches": "This server runs no batches. Send single requests, with background=true if nobody should wait for them.",
    "fine_tuning": "This server trains no models.",
    "evals": "This server runs no evals.",
    "assistants": "This server does not have the Assistants API. Use /v1/responses with /v1/conversations.",
    "threads": "This server does not have the Assistants API. Use /v1/responses with /v1/conversations.",
    "skills": "This server keeps no skills, and shows Codex none.",
    "organization": "This server has no organizations. Its keys are kept by its operator (codex-proxy keys).",
    "webhooks": "This server calls no webhooks. Poll or stream a background response instead.",
    "chat": "This server does not store chat completions. Use /v1/responses, which it stores.",
}


class Paths:
    """The paths of all routes, as patterns like /v1/models/{id}."""

    def __init__(self, patterns: Iterable[str]) -> None:
        split = [tuple(pattern.split("/")[1:]) for pattern in patterns]
        self._versioned = {parts[1] for parts in split if parts[0] == _VERSION}
        self._plain = {parts[0] for parts in split if parts[0] not in (_VERSION, "")}
        fixed = {parts[1:] for parts in split if parts[0] == _VERSION and not any("{" in part for part in parts)}
        self._ends = sorted(fixed, key=len, reverse=True)

    def meant(self, raw: str) -> str | None:
        """Return the path to serve instead of this one, both percent-encoded; None if it is served as it is."""
        parts = _without_version(raw)
        if not parts:
            return None
        if parts[0] in self._versioned:
            path = "/".join(("", _VERSION, *parts))
        elif parts[0] in self._plain and _VERSION not in raw.split("/"):
            path = "/".join(("", *parts))
        else:
            return None
        return None if path == raw else path

    def instead(self, path: str) -> str | None:
        """Return advice for a client whose path has no route, if it can be told which one is meant."""
        parts = _without_version(path)
        end = next(("/".join(end) for end in self._ends if parts[-len(end) :] == end), None)
        if end is not None:
            return f"The route is /{_VERSION}/{end}. {_BASE_URL}"
        return _BASE_URL if not parts and _VERSION in path else None


PATHS = web.AppKey("paths", Paths)
_Factory = Callable[..., web.BaseRequest]  # aiohttp's own form


def as_meant(made: _Factory, app: web.Application) -> _Factory:
    """Return a factory of requests with corrected paths, if the app has PATHS."""
    paths = app.get(PATHS)
    if paths is None:
        return made

    def make(*arguments: object) -> web.BaseRequest:
        request = made(*arguments)
        path = paths.meant(request.rel_url.raw_path)
        if path is None:
            return request
        return request.clone(rel_url=URL.build(path=path, query_string=request.rel_url.raw_query_string, encoded=True))

    return make


def _without_version(path: str) -> tuple[str, ...]:
    """Split a path, dropping empty parts and any leading v1."""
    parts = [part for part in path.split("/") if part]
    while parts and parts[0] == _VERSION:
        del parts[0]
    return tuple(parts)


def sentence(path: str) -> str | None:
    """Return a sentence on an OpenAI route that this server lacks; None for an unknown path."""
    name = _V1.sub("", path, count=1).split("/")[1] if path.startswith("/") else ""
    if name == "chat" and not path.startswith("/v1/chat/completions/"):
        return None
    return _SENTENCES.get(name)
