"""Conversation: a conversation with a running server, which stores it (previous_response_id).

Only the id of the latest response is kept locally, for `chat --continue`; no prompts or answers.
"""

import contextlib
import time
from pathlib import Path
from typing import Any

import msgspec

from codex_proxy import settings, whole_file
from codex_proxy.commands.api import Api, Refused
from codex_proxy.commands.chat_view import View

_FORGOTTEN = ("response_not_found", "previous_response_not_found")


class Asking(msgspec.Struct):
    """The options for the next prompts."""

    model: str | None = None
    effort: str | None = None
    sandbox: str | None = None
    cwd: str | None = None

    def body(self, prompt: str, previous: str | None) -> dict[str, Any]:
        """Return the request body. Options that are unset are left to the server."""
        extras = {"sandbox": self.sandbox, "cwd": self.cwd, "reasoning_effort": self.effort}
        chosen = {name: value for name, value in extras.items() if value}
        body: dict[str, Any] = {"input": prompt, "stream": True, "x_codex": chosen}
        if self.model:
            body["model"] = self.model
        if previous:
            body["previous_response_id"] = previous
        return body


class Conversation:
    """A conversation so far: the id of its latest response."""

    def __init__(self, server: Api, asking: Asking, latest: str | None) -> None:
        self.server = server
        self.asking = asking
        self.latest = latest

    def ask(self, prompt: str, view: View) -> bool:
        """Ask and show the answer. Returns True if the turn ended well. Raises Refused, Unreachable, KeyboardInterrupt."""
        try:
            return self._ask(prompt, view)
        except Refused as refusal:
            if self.latest is None or refusal.code not in _FORGOTTEN:
                raise
            view.note("The server no longer has this conversation; starting a new one.")
            self.latest = None
            return self._ask(prompt, view)

    def _ask(self, prompt: str, view: View) -> bool:
        began = time.monotonic()
        with self.server.stream("/responses", self.asking.body(prompt, self.latest)) as events:
            for event in events:
                if event["type"] == "response.created":
                    self._remember(event["response"]["id"])
                view.show(event)
        return view.end(time.monotonic() - began)

    def _remember(self, latest: str) -> None:
        self.latest = latest
        with contextlib.suppress(OSError):  # without the file, --continue starts a new conversation
            memory = _memory()
            memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            whole_file.put(memory, msgspec.json.encode({**_remembered(), self.server.base_url: latest}))


def latest_with(server: Api) -> str | None:
    """Return the id of the latest response that `chat` got from this server."""
    return _remembered().get(server.base_url)


def _memory() -> Path:
    environ = settings.os_environment()
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "codex-proxy" / "chat.json"


def _remembered() -> dict[str, str]:
    """Map the base URL of each server to its latest response."""
    try:
        return msgspec.json.decode(_memory().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return {}
