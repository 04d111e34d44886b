"""Api: a client for a running server, on the standard library's HTTP client. Every failure becomes a readable message.

The base URL ends in /v1, as OpenAI clients expect; pass `beside=True` for paths outside /v1.
"""

import argparse
import contextlib
import http.client
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

from codex_proxy.commands import place
from codex_proxy.errors import CommandFailed

_CONNECT_TIMEOUT = 5.0  # seconds
_SILENCE = 60.0  # seconds without a byte; a stream sends a comment every 15
_ANSWER_TIMEOUT = 900.0  # seconds for a whole answer: the server enforces the turn's own limits
_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
_USUAL_PORT = 8000

Json = dict[str, Any]  # Any: the server's JSON, read member by member


class Refused(CommandFailed):
    """The server answered with an error."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Unreachable(CommandFailed):
    """No usable answer from the address."""


class Api(msgspec.Struct, frozen=True):
    """A server's base URL and the key to use with it."""

    base_url: str
    key: str | None = None

    @property
    def address(self) -> str:
        """The base URL without /v1."""
        return self.base_url.removesuffix("/v1")

    def get(self, path: str, *, beside: bool = False, timeout: float = _SILENCE) -> Json:
        """GET a JSON answer. Raises Refused, Unreachable."""
        return self._whole("GET", path, None, beside=beside, timeout=timeout)

    def post(self, path: str, body: Mapping[str, Any], *, beside: bool = False) -> Json:
        """POST a JSON body. Raises Refused, Unreachable."""
        return self._whole("POST", path, body, beside=beside, timeout=_ANSWER_TIMEOUT)

    def delete(self, path: str) -> Json:
        """DELETE; returns the JSON answer. Raises Refused, Unreachable."""
        return self._whole("DELETE", path, None, beside=False, timeout=_SILENCE)

    @contextmanager
    def stream(self, path: str, body: Mapping[str, Any]) -> Iterator[Iterator[Json]]:
        """Yield the events of a streamed answer as they arrive; leaving early stops the turn. Raises Refused, Unreachable."""
        with self._asked("POST", path, body, beside=False, timeout=_SILENCE) as answer:
            yield self._events(answer)

    def _events(self, answer: http.client.HTTPResponse) -> Iterator[Json]:
        while line := self._read(answer.readline):
            name, _, data = line.rstrip(b"\r\n").partition(b":")
            if name == b"data" and data.strip() != b"[DONE]":
                yield msgspec.json.decode(data)

    def _whole(self, method: str, path: str, body: Mapping[str, Any] | None, *, beside: bool, timeout: float) -> Json:
        with self._asked(method, path, body, beside=beside, timeout=timeout) as answer:
            content = self._read(answer.read)
        try:
            decoded: Json = msgspec.json.decode(content)
        except msgspec.DecodeError:
            raise Unreachable(f"{self.address} does not answer like codex-proxy. {_remedy()}") from None
        return decoded

    @contextmanager
    def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, beside: bool, timeout: float
    ) -> Iterator[http.client.HTTPResponse]:
        parts = urlsplit(self.base_url)
        connection = self._connect(parts.scheme == "https", parts.hostname or "", parts.port)
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        content = None if body is None else msgspec.json.encode(body)
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            where = f"{'' if beside else parts.path}{path}"
            self._read(lambda: connection.request(method, where, content, {**headers, "Content-Type": "application/json"}))
            answer = self._read(connection.getresponse)
            if answer.status >= http.HTTPStatus.BAD_REQUEST:
                raise _refusal(answer.status, self._read(answer.read))
            yield answer
        finally:
            connection.close()

    def _connect(self, secure: bool, host: str, port: int | None) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(host, port, timeout=_CONNECT_TIMEOUT)
        try:
            connection.connect()
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error) or "no answer"
            raise Unreachable(f"No server answers at {self.address}: {why}. {_remedy()}") from error
        return connection

    def _read(self, step: Any) -> Any:  # Any: a method of http.client and its result
        """Run one step of the exchange; raises Unreachable when the connection breaks."""
        try:
            return step()
        except (OSError, http.client.HTTPException, ssl.SSLError) as error:
            raise Unreachable(f"The connection to {self.address} broke: {error or type(error).__name__}.") from error


_KEY_WANTED = "The server does not know this key, or wants one. Give it with --api-key KEY, or in PROXY_API_KEY."


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add the options shared by every command that talks to a server."""
    group = parser.add_argument_group("server")
    group.add_argument("--base-url", metavar="URL", help="the server's address (default: from PROXY_HOST and PROXY_PORT)")
    group.add_argument("--api-key", metavar="KEY", help="a key for it (default: PROXY_API_KEY)")


def server(arguments: argparse.Namespace) -> Api:
    """Return the server that the options or the settings select. Raises SettingsError, CommandFailed."""
    if arguments.base_url and arguments.api_key:
        return Api(_with_v1(arguments.base_url), arguments.api_key)
    chosen = place.read_settings()
    host = _ANY.get(chosen.host, f"[{chosen.host}]" if ":" in chosen.host else chosen.host)
    own = f"http://{host}:{chosen.port or _USUAL_PORT}"
    return Api(_with_v1(arguments.base_url or own), arguments.api_key or chosen.api_key)


def _with_v1(url: str) -> str:
    whole = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
    parts = urlsplit(whole)
    with contextlib.suppress(ValueError):
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return whole if parts.path else f"{whole}/v1"
    raise CommandFailed(f"--base-url {url} is not an address. Example: http://127.0.0.1:8000/v1")


def _remedy() -> str:
    return f"Start one with: {place.program()} serve. For another server: --base-url URL"


def _refusal(status: int, content: bytes) -> Refused:
    try:
        error = msgspec.json.decode(content)["error"]
        message = _KEY_WANTED if error.get("code") == "invalid_api_key" else str(error["message"])
        return Refused(status, error.get("code"), message)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return Refused(status, None, f"The server answered {status}, but not in the form of the OpenAI API.")
