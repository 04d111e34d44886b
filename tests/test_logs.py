"""The log: one line a record, as text or JSON, and the one line of each turn."""

import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from codex_proxy import logs
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Count, Fail, ModelRequest, Say, Step, words
from codex_proxy.web.rare_log import RareLog
from tests.conftest import Proxy, ProxyStarter

_log = logging.getLogger("codex_proxy.test")

Lines = Callable[[], list[str]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """What has been logged since the last look; the logging of the test run is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err.splitlines()
    root.handlers[:], root.level = handlers, level


def test_text_has_the_members_after_the_message(lines: Lines) -> None:
    logs.set_up("info", "text", under_systemd=True)
    with logs.about({"request": "req_1"}):
        _log.info("done: %s", "well", extra={"members": {"seconds": 0.25, "why": 'a "b" c\nd', "empty": ""}})
    _log.warning("and no more")
    assert lines() == [
        r'INFO codex_proxy.test done: well request=req_1 seconds=0.25 why="a \"b\" c\nd" empty=""',
        "WARNING codex_proxy.test and no more",
    ]


@pytest.mark.parametrize("terminal", [None, logs.Terminal(colour=False)])
def test_what_others_wrote_into_a_message_begins_no_line_and_steers_no_terminal(
    lines: Lines, terminal: logs.Terminal | None
) -> None:
    logs.set_up("info", "text", under_systemd=True, terminal=terminal)
    _log.warning("the provider said: %s", "no\r\nERROR root forged\x1b[2J\x9b31m\u2028\u202eüber")
    [line] = lines()
    assert line.endswith(r"the provider said: no\r\nERROR root forged\x1b[2J\x9b31m\u2028\u202eüber")


def test_json_has_them_as_they_are(lines: Lines) -> None:
    logs.set_up("info", "json", under_systemd=False)
    with logs.about({"request": "req_1"}), logs.about({"turn": "t"}):
        _log.info("done", extra={"members": {"seconds": 0.25}})
    try:
        raise ValueError("broke")
    except ValueError:
        _log.exception("a bug")
    done, bug = map(json.loads, lines())
    assert done.pop("time").endswith("Z")
    wanted = {"level": "info", "logger": "codex_proxy.test", "message": "done", "request": "req_1", "turn": "t", "seconds": 0.25}
    assert done == wanted
    assert "ValueError: broke" in bug["traceback"]


async def play(request: ModelRequest) -> AsyncIterator[Step]:
    if "fail" in request.prompt:
        yield Fail("insufficient_quota", "the secret account")
    else:
        yield Count(input=100, cached=40, output=20, reasoning=5)
        yield Say(words("a secret answer"))


async def refuse(_: ModelRequest) -> AsyncIterator[Step]:
    yield Fail("server_error")


def _turns(found: list[str]) -> list[str]:
    return [line for line in found if "turn ended" in line]


async def test_a_turn_leaves_one_line_that_says_how_it_ended(proxy: Proxy, model: ModelServer, lines: Lines) -> None:
    model.script = play
    logs.set_up("info", "json", under_systemd=True)
    answer = await proxy.chat(prompt="a secret prompt")
    assert answer.status == 200
    [line] = _turns(lines())
    assert "secret" not in line
    said = json.loads(line)
    assert said["request"] == answer.headers["x-request-id"]
    assert len(said["turn"]) == 32
    what = {"model": "gpt-5.5", "mode": "agent", "sandbox": "read-only", "outcome": "completed"}
    tokens = {"input_tokens": 100, "cached_tokens": 40, "output_tokens": 20, "reasoning_tokens": 5}
    assert {name: said[name] for name in (*what, *tokens)} == what | tokens
    assert 0 <= said["queue_seconds"] < 30
    assert 0 < said["first_text_seconds"] <= said["turn_seconds"] < 30


async def test_a_turn_that_failed_says_why(proxy: Proxy, model: ModelServer, lines: Lines) -> None:
    model.script = play
    logs.set_up("info", "text", under_systemd=True)
    answer = await proxy.chat(prompt="fail", model="gpt-5.5 chat")
    assert answer.status == 429
    [line] = _turns(lines())
    assert f" request={answer.headers['x-request-id']} turn=" in line
    assert " mode=chat conversation=new sandbox=none outcome=failed:insufficient_quota " in line
    assert ' error="' in line
    assert "first_text_seconds" not in line


def test_a_terminal_has_short_lines_and_what_it_shows_elsewhere_is_left_out(lines: Lines) -> None:
    logs.set_up("info", "text", under_systemd=False, terminal=logs.Terminal(colour=False))
    with logs.about({"request": "req_1"}):
        _log.info("turn ended", extra={"members": {"seconds": 0.25}, "terminal": "✓ gpt-5.5 agent  0.6 s"})
        _log.warning("no worker", extra={"members": {"tries": 2}})
    _log.info("listening", extra={"terminal": ""})
    logs.set_up("info", "text", under_systemd=False, terminal=logs.Terminal(colour=True))
    _log.info("", extra={"terminal": "✗ 404 not_found  GET /"})
    first, second, third = lines()
    assert first[2::3][:2] == "::"
    assert (first[9:], second[9:]) == ("✓ gpt-5.5 agent  0.6 s  req_1", "! no worker tries=2  req_1")
    assert third.endswith(" \x1b[31m✗\x1b[0m 404 not_found  GET /")


async def test_a_turn_is_one_short_line_on_a_terminal(proxy: Proxy, model: ModelServer, lines: Lines) -> None:
    model.script = play
    logs.set_up("info", "text", under_systemd=False, terminal=logs.Terminal(colour=False))
    await proxy.chat(prompt="go")
    await proxy.chat(prompt="fail", model="gpt-5.5 chat")
    good, bad = lines()
    assert re.fullmatch(r"[\d:]{8} ✓ gpt-5.5 agent  \d+\.\d s  100→20 tok  req_\w+", good)
    assert re.fullmatch(r"[\d:]{8} ✗ gpt-5.5 chat  \d+\.\d s  insufficient_quota  .+  req_\w+", bad)


async def test_every_refused_request_is_one_line_and_a_failed_turn_no_second_one(
    environ: dict[str, str], start_proxy: ProxyStarter, model: ModelServer, lines: Lines
) -> None:
    environ["PROXY_API_KEY"] = "right"
    model.script = refuse
    async with start_proxy() as proxy:
        logs.set_up("info", "json", under_systemd=True)
        await proxy.http.get(f"{proxy.address}/v2/nothing?secret=1")
        await proxy.http.get(f"{proxy.base_url}/models", headers={"Authorization": "Bearer wrong"})
        await proxy.http.put(f"{proxy.base_url}/chat/completions")
        await proxy.chat(prompt="go", n=3)
        await proxy.chat(prompt="go")
        said = [json.loads(line) for line in lines()]
    told = [
        (line["message"], line["level"], line.get("status"), line.get("code"), line.get("route"), line.get("key")) for line in said
    ]
    chat = "POST /v1/chat/completions"
    assert told == [
        ("refused", "info", 404, "not_found", "GET /v2/nothing", None),
        ("refused", "info", 401, "invalid_api_key", "GET /v1/models", None),
        ("refused", "info", 405, "method_not_allowed", "PUT /v1/chat/completions", None),
        ("refused", "info", 400, "unsupported_parameter", chat, "PROXY_API_KEY"),
        ("turn ended", "warning", None, None, None, "PROXY_API_KEY"),
    ]
    assert "secret" not in json.dumps(said)
    assert all(line["request"].startswith("req_") for line in said)


def test_a_flood_is_counted_and_not_told(lines: Lines) -> None:
    logs.set_up("info", "text", under_systemd=True)
    rare = RareLog(_log, burst=2)
    for number in range(5):
        rare.log(logging.INFO, "refused", {"number": number}, "")
    assert [line.split()[-1] for line in lines()] == ["number=0", "number=1"]
