"""Routes of the OpenAI API that this server has not, and one sentence on each: what it is not, and what there is instead."""

import re

_VERSION = re.compile(r"/v1(?=/)")
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


def sentence(path: str) -> str | None:
    """What to say of the path of a route that this server has not; None of one that nobody knows."""
    name = _VERSION.sub("", path, count=1).split("/")[1] if path.startswith("/") else ""
    if name == "chat" and not path.startswith("/v1/chat/completions/"):
        return None
    return _SENTENCES.get(name)
