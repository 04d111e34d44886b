"""Hostile values wherever a request can put one: refused at their place, or carried as inert text.

Nothing of a request becomes a word of the CLI's command line or a line of its configuration.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from yarl import URL

from codex_proxy.demo import shell
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter, children_of
from tests.live.test_conversations import CALLS, SCRIPTS
from tests.support.refusals import CHAT, GOOD_BODY, RESPONSES, post, refusal

_TEXTS = (
    *('"', "'", "\\", "`", '"""', "'''", "\n", "\r\n", "\0", "\t", "\x1b[2J", "\x7f"),
    *("read-only\0", "read-only\n", " read-only", "READ-ONLY", "read-only\\u0000", "read_only", "workspace-write,read-only"),
    *("--dangerously-bypass-approvals-and-sandbox", "--", "-c", '-c sandbox_mode="danger-full-access"', "--disable=shell_tool"),
    *('"]\n[mcp_servers.x]\ncommand = "touch"\nargs = ["canary"]', 'x"\nsandbox_mode = "danger-full-access"', "a.b.c=1", "#"),
    *("$(touch canary)", "`touch canary`", "; touch canary", "| touch canary", "&& touch canary", "$IFS", "%s%n", "{0}", "{{7*7}}"),
    *("../../etc/passwd", "/etc/passwd", "/proc/self/environ", "file:///etc/passwd", "~root", "C:\\", "//", "."),
    *(
        "ｄａｎｇｅｒ－ｆｕｌｌ－ａｃｃｅｓｓ",
        "dаnger-full-access",
        "danger\u200b-full-access",
        "danger\u2010full\u2010access",
        "\u202edaer",
        "ﬁne",
    ),
    *("\ufeffread-only", "\U0001f4a5", "e\u0301", "\uffff", "null", "true", "0", '{"type":"dangerFullAccess"}'),
    *("x" * 300, "x" * 5000, "-" * 100_000),
)
_OTHERS: tuple[Any, ...] = (  # Any: each other JSON type
    *(True, False, 0, -1, 1.5, 2**53, [], ["danger-full-access"], [None], {}, {"type": "dangerFullAccess"}, {"": None}),
)
_NO_UNICODE = ("\ud800", "read-only\udfff")
_IN_HEADERS = tuple(text for text in _TEXTS if len(text) <= 5000 and not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text))
_NO_HEADERS = (
    b"\0",
    b"a\0b",
    b"\x1b[2J",
    b"\x7f",
    b"a\rb",
    b"a\nX-Evil: 1",
    b"a\r\n b",
    b"x" * 9000,
)  # bytes that HTTP does not allow there

Place = Callable[[Any], dict[str, Any]]  # a value -> the body that has it there


def _x_codex(member: str) -> Place:
    return lambda value: {"x_codex": {member: value}}


def _chat_tool(name: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": name}}]}


def _tool(name: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "name": name}]}


# The place as `param` has it: what puts a value there, and the status and code of a text that is refused there.
_EVERYWHERE: dict[str, tuple[Place, tuple[int, str | None]]] = {
    "model": (lambda value: {"model": value}, (404, "model_not_found")),
    "x_codex.sandbox": (_x_codex("sandbox"), (400, None)),
    "x_codex.reasoning_effort": (_x_codex("reasoning_effort"), (400, None)),
    "x_codex.mode": (_x_codex("mode"), (400, None)),
    "x_codex.activity": (_x_codex("activity"), (400, None)),
    "x_codex.cwd": (_x_codex("cwd"), (403, "permission_denied")),
}
_PLACES: dict[str, dict[str, tuple[Place, tuple[int, str | None]]]] = {
    CHAT: {
        **_EVERYWHERE,
        "reasoning_effort": (lambda value: {"reasoning_effort": value}, (400, None)),
        "tools[0]": (_chat_tool, (400, None)),
    },
    RESPONSES: {
        **_EVERYWHERE,
        "reasoning.effort": (lambda value: {"reasoning": {"effort": value}}, (400, None)),
        "previous_response_id": (lambda value: {"previous_response_id": value}, (404, "response_not_found")),
        "tools[0]": (_tool, (400, None)),
    },
}
_PROMPT: dict[str, dict[str, Any]] = {CHAT: {"messages": [{"role": "user", "content": "hi"}]}, RESPONSES: {"input": "hi"}}
_GOOD_NAME = ("--dangerously-bypass-approvals-and-sandbox", "--", "-c", "read_only", "READ-ONLY", "null", "true", "0")  # of a tool


@pytest.fixture
async def watched(start_proxy: ProxyStarter, home: Home, environ: dict[str, str]) -> AsyncIterator[Proxy]:
    """A server whose workers still have the same command lines, and whose home still has the same files, afterwards."""
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": "1", "PROXY_STORE": "memory"}
    async with start_proxy() as proxy:
        lines, config = _command_lines(), (home.codex_home / "config.toml").read_bytes()
        yield proxy
        assert _command_lines() == lines
        assert (home.codex_home / "config.toml").read_bytes() == config
        assert not [*home.root.rglob("canary")]


def _command_lines() -> set[bytes]:
    """Of every app-server below this one; what these start comes and goes."""
    lines = set()
    for pid in children_of(os.getpid()):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            lines.add(Path(f"/proc/{pid}/cmdline").read_bytes())
    return {line for line in lines if b"app-server" in line}


@pytest.mark.parametrize("route", [CHAT, RESPONSES])
async def test_a_hostile_value_is_refused_at_its_place_and_reaches_nobody(watched: Proxy, model: ModelServer, route: str) -> None:
    wrong = []
    for param, (place, refused) in _PLACES[route].items():
        values = [text for text in _TEXTS if not (param == "tools[0]" and text in _GOOD_NAME)]
        for value in (*values, *_OTHERS, *_NO_UNICODE):
            answer = await post(watched, _PROMPT[route] | place(value), route=route)
            error = await refusal(answer)
            right_place = error.param is not None and (error.param == param or error.param.startswith((f"{param}.", f"{param}[")))
            if value in _NO_UNICODE:
                right_place = error.param is None  # the body as a whole is no JSON text
            elif isinstance(value, str) and answer.status != 400:
                right_place = right_place and (answer.status, error.code) == refused
            if not (
                right_place and 400 <= answer.status < 500 and error.type == "invalid_request_error" and len(error.message) < 5000
            ):
                wrong.append((param, value if len(str(value)) < 100 else "long", answer.status, error))
    assert wrong == []
    assert model.calls == 0


@pytest.mark.parametrize("route", [CHAT, RESPONSES])
async def test_a_tool_with_the_name_of_an_argument_is_a_tool(watched: Proxy, model: ModelServer, route: str) -> None:
    place, _ = _PLACES[route]["tools[0]"]
    for name in _GOOD_NAME:
        answer = await post(watched, _PROMPT[route] | place(name), route=route)
        assert answer.status == 200, await answer.text()
        assert name in model.requests[-1].tool_names


async def test_a_hostile_id_in_a_path_is_no_such_thing(watched: Proxy, model: ModelServer) -> None:
    texts = [*(text for text in _TEXTS if len(text) <= 300 and text != "."), *_NO_UNICODE, "%00", "%2e%2e", "..%2f"]
    for text in texts:
        name = quote(text, safe="", errors="surrogatepass")
        for method, path in [
            ("GET", f"/v1/models/{name}"),
            ("GET", f"/v1/responses/{name}"),
            ("GET", f"/v1/responses/{name}?stream=true"),
            ("GET", f"/v1/responses/{name}/input_items"),
            ("POST", f"/v1/responses/{name}/cancel"),
            ("DELETE", f"/v1/responses/{name}"),
        ]:
            answer = await watched.http.request(method, URL(watched.address + path, encoded=True))
            error = await refusal(answer)
            assert (answer.status, error.param) == (404, None), (method, path, error)
            assert error.code in ("model_not_found", "response_not_found", "not_found")
    assert model.calls == 0


async def test_a_hostile_header_is_replaced_refused_or_inert(watched: Proxy, model: ModelServer) -> None:
    calls = 0
    for text in map(str.strip, _IN_HEADERS):  # HTTP has no space around a value
        headers = {"x-request-id": text, "Idempotency-Key": text}
        answer = await post(watched, GOOD_BODY, headers)
        given = answer.headers["x-request-id"]
        assert given.startswith("req_") or (given == text and text.isascii() and len(text) <= 128), text
        if not (text and text.isascii() and text.isprintable() and " " not in text and len(text) <= 255):
            error = await refusal(answer)
            assert (answer.status, error.param) == (400, "Idempotency-Key"), text
            continue
        calls += 1
        assert answer.status == 200, text
        first = await answer.json()
        assert await (await post(watched, GOOD_BODY, headers)).json() == first
    assert model.calls == calls


async def test_a_header_that_http_does_not_allow_is_refused_in_openais_form(watched: Proxy, model: ModelServer) -> None:
    address = urlsplit(watched.address)
    for name in (b"x-request-id", b"Idempotency-Key", b"Authorization"):
        for value in _NO_HEADERS:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
                head = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: %d" % len(GOOD_BODY)
                writer.write(b"POST /v1/chat/completions HTTP/1.1\r\n%s\r\n%s: %s\r\n\r\n%s" % (head, name, value, GOOD_BODY))
                line = await reader.readline()
                headers, _, body = (await reader.read()).partition(b"\r\n\r\n")
                writer.close()
                await writer.wait_closed()
            assert line.split()[1] == b"400", (name, value)
            assert b"X-Evil" not in headers
            assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert model.calls == 0


_DIRECTORIES = (
    *(
        '"',
        "'",
        "\\",
        "a.b",
        "a=b",
        "[x]",
        "#",
        "'''",
        '"""',
        "new\nline",
        "\x1b[2J",
        "%s",
        "$HOME",
        "$(touch canary)",
        "-c",
        "e\u0301",
    ),
    *(
        'x"]\n[mcp_servers.x]\ncommand = "touch',
        "--dangerously-bypass-approvals-and-sandbox",
        "trailing ",
        "\u200b",
        "\U0001f4a5",
        "*",
    ),
)


async def test_a_directory_of_a_hostile_name_is_a_directory_and_is_not_trusted(
    start_proxy: ProxyStarter, home: Home, environ: dict[str, str], model: ModelServer
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words("done"))
        else:
            yield shell.run(f"touch inside && echo wrote; touch {outside}; echo tried", request)

    model.script = script
    outside = "../../outside"  # of the workspace: what a command makes there may be in memory, but never on the disk
    config = (home.codex_home / "config.toml").read_bytes()
    environ["CODEX_SANDBOX_MODE"] = "workspace-write"  # in which Codex by itself would trust a directory
    async with start_proxy() as proxy:
        for name, model_name in zip(_DIRECTORIES, itertools.cycle((SCRIPTS, CALLS)), strict=False):
            directory = home.workdir / name
            (directory / ".codex").mkdir(parents=True)
            (directory / ".codex" / "config.toml").write_text(
                f'[mcp_servers.canary]\ncommand = "touch"\nargs = ["{home.root}/canary"]\n'
            )
            answer = await proxy.chat(prompt="go", model=model_name, x_codex={"cwd": str(directory)})
            assert answer.status == 200, (name, await answer.text())
            output = model.requests[-1].outputs[-1]
            assert ("wrote" in output, "tried" in output) == (True, True), (name, output)
            assert (directory / "inside").exists()
            assert not (home.root / "outside").exists(), name
            assert (home.codex_home / "config.toml").read_bytes() == config, name
            assert not (home.root / "canary").exists(), name
