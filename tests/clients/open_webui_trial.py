"""Open WebUI without a browser, as a program for its own virtual environment: it starts the server and drives its API.

Asked for are what the log of codex-proxy names then: the title, tags and follow-up questions of a chat, by both API types.
"""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

_START_LIMIT, _REQUEST_LIMIT = 240.0, 120.0  # seconds
_TASKS = ("title", "tags", "follow_up")
_CHAT = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi there."}]
_QUIET = {
    "ENABLE_OLLAMA_API": "false",
    "OFFLINE_MODE": "true",
    "HF_HUB_OFFLINE": "1",
    "RAG_EMBEDDING_ENGINE": "openai",  # the default loads a model of its own
    "WEBUI_SECRET_KEY": "of this trial",
}


class Api:
    """Its API, once somebody has signed up."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._token = ""

    def sign_up(self) -> None:
        person = {"name": "Anna", "email": "anna@example.com", "password": "Passw0rd!x"}
        self._token = json.loads(self.ask("/api/v1/auths/signup", person))["token"]

    def ask(self, path: str, body: Any = None) -> str:  # Any: JSON
        """The text of an answer."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_REQUEST_LIMIT)
        with contextlib.closing(connection):
            connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        assert answer.status == 200, text
        return text


def wait_until_ready(api: Api, server: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + _START_LIMIT
    while time.monotonic() < ends_at and server.poll() is None:
        try:
            api.ask("/health")
        except OSError:
            time.sleep(1)
        else:
            return
    sys.exit("Open WebUI did not start")


def try_a_chat(api: Api, streamed: str) -> None:
    """`streamed`: what is in a stream of this API type."""
    names = [model["id"] for model in json.loads(api.ask("/api/models"))["data"]]
    assert names[:2] == ["gpt-5.5", "gpt-5.5 chat"], names
    hello = {"model": names[0], "stream": True, "messages": _CHAT[:1]}
    events = api.ask("/api/chat/completions", hello)
    assert events.count(streamed) > 1, events
    for task in _TASKS:
        made = json.loads(api.ask(f"/api/v1/tasks/{task}/completions", {"model": names[0], "messages": _CHAT}))
        assert made["choices"][0]["message"]["content"], made


def main() -> None:
    """Try what a person's first chat does, by either API type."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryFile() as log:
        environ = os.environ | _QUIET | {"DATA_DIR": data}
        command = ("open-webui", "serve", "--host", "127.0.0.1", "--port", str(port))
        server = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        try:
            api = Api(port)
            wait_until_ready(api, server)
            api.sign_up()
            try_a_chat(api, '"object":"chat.completion.chunk"')
            connection = {
                "ENABLE_OPENAI_API": True,
                "OPENAI_API_BASE_URLS": [os.environ["OPENAI_API_BASE_URL"]],
                "OPENAI_API_KEYS": [os.environ["OPENAI_API_KEY"]],
                "OPENAI_API_CONFIGS": {"0": {"enable": True, "api_type": "responses"}},
            }
            api.ask("/openai/config/update", connection)
            try_a_chat(api, '"type":"response.output_text.delta"')
        finally:
            server.terminate()
            server.wait()
    print("It all works.")


if __name__ == "__main__":
    main()
