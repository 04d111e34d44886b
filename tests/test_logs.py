"""The log: one line a record, as text or JSON, and the one line of each turn."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from codex_proxy import logs
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Count, Fail, ModelRequest, Say, Step, words
from tests.conftest import Proxy

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
    assert " mode=chat sandbox=none outcome=failed:insufficient_quota " in line
    assert ' error="' in line
    assert "first_text_seconds" not in line
