"""Conversation: what is being said with a running server. The server keeps it (previous_response_id).

Here only the id of the latest response is kept, for `chat --continue`: no prompt and no answer.
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
    """How the next prompts are asked."""

    model: str | None = None
    effort: str | None = None
    sandbox: str | None = None
    cwd: str | None = None

    def body(self, prompt: str, previous: str | None) -> dict[str, Any]:
        """The request. What is not chosen is the server's to choose."""
        extras = {"sandbox": self.sandbox, "cwd": self.cwd, "reasoning_effort": self.effort}
        chosen = {name: value for name, value in extras.items() if value}
        body: dict[str, Any] = {"input": prompt, "stream": True, "x_codex": chosen}
        if self.model:
            body["model"] = self.model
        if previous:
            body["previous_response_id"] = previous
        return body


class Conversation:
    """What has been said so far: the id of the latest response."""

    def __init__(self, server: Api, asking: Asking, latest: str | None) -> None:
        self.server = server
        self.asking = asking
        self.latest = latest

    def ask(self, prompt: str, view: View) -> bool:
        """Ask, and show what comes; whether the turn ended well. Raises Refused, Unreachable, KeyboardInterrupt."""
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
        with contextlib.suppress(OSError):  # then --continue does not know it
            memory = _memory()
            memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            whole_file.put(memory, msgspec.json.encode({**_remembered(), self.server.base_url: latest}))


def latest_with(server: Api) -> str | None:
    """The id of the latest response that this server gave to `chat`."""
    return _remembered().get(server.base_url)


def _memory() -> Path:
    environ = settings.os_environment()
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "codex-proxy" / "chat.json"


def _remembered() -> dict[str, str]:
    """The latest response of each server, by its base URL."""
    try:
        return msgspec.json.decode(_memory().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return {}
