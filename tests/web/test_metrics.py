"""GET /metrics: what is counted, in which form, and who may read it."""

import asyncio
import contextlib
import json
import re
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from codex_proxy.codex.command import find
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, Count, Fail, ModelRequest, Say, Step, words
from codex_proxy.settings import load
from codex_proxy.store.memory import MemoryStore
from codex_proxy.web.app import create_app
from tests.conftest import Proxy, ProxyStarter
from tests.support.fresh_copy import ROOT
from tests.support.refusals import refusal
from tests.support.sessions import http_session

_LIMIT = 10.0  # seconds
_KEY = "sk-proxy-0123456789"
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


class Numbers:
    """One reading of /metrics."""

    def __init__(self, text: str) -> None:
        self.families: list[Metric] = list(text_string_to_metric_families(text))

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        samples = (sample for family in self.families for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())

    @property
    def names(self) -> set[str]:
        """Of all samples that there are or could be."""
        return {family.name + suffix for family in self.families for suffix in _SUFFIXES[family.type]}


async def read(proxy: Proxy) -> Numbers:
    answer = await proxy.http.get(f"{proxy.address}/metrics")
    assert (answer.status, answer.content_type) == (200, "text/plain")
    return Numbers(await answer.text())


async def read_when(proxy: Proxy, name: str, value: float, **labels: str) -> Numbers:
    """The first reading with this number in it."""
    async with asyncio.timeout(_LIMIT):
        while (numbers := await read(proxy))(name, **labels) != value:
            pass
    return numbers


async def play(request: ModelRequest) -> AsyncIterator[Step]:
    """What the prompt says."""
    if request.prompt.startswith("wait"):
        if request.prompt == "wait afterwards":
            yield Say(words("one two three"))
        await asyncio.Event().wait()
    elif request.prompt == "refuse":
        yield Fail("insufficient_quota")
    elif request.prompt == "run" and not request.outputs:
        yield Call("exec_command", json.dumps({"cmd": "true"}), "call_1")
    else:
        yield Count(input=100, cached=40, output=20, reasoning=5)
        yield Say(words("one two three"))


@pytest.fixture
async def proxy(one_worker: dict[str, str], start_proxy: ProxyStarter, model: ModelServer) -> AsyncIterator[Proxy]:
    """A server with one worker, and little patience."""
    model.script = play
    one_worker |= {"CODEX_TIMEOUT": "4", "CODEX_QUEUE_TIMEOUT": "1", "CODEX_MAX_QUEUED_REQUESTS": "3"}
    async with start_proxy() as started:
        yield started


async def test_turns_are_counted_by_how_they_ended(proxy: Proxy) -> None:
    assert (await proxy.chat(prompt="hello")).status == 200
    await read_when(proxy, "codex_proxy_workers", 1, state="idle")  # not too late for the next, on a slow machine
    assert (await proxy.chat(prompt="wait afterwards", stop="two")).status == 200
    await read_when(proxy, "codex_proxy_workers", 1, state="idle")
    assert (await proxy.chat(prompt="hello", model="no such model")).status == 404  # no turn
    running = asyncio.ensure_future(proxy.chat(prompt="wait"))
    numbers = await read_when(proxy, "codex_proxy_turns_running", 1)
    assert numbers("codex_proxy_workers", state="busy") == 1
    leaving = asyncio.ensure_future(proxy.chat(prompt="hello"))
    numbers = await read_when(proxy, "codex_proxy_queue_depth", 1)
    assert numbers("codex_proxy_queue_limit") == 3
    leaving.cancel()
    await read_when(proxy, "codex_proxy_turns_total", 1, outcome="client_left")
    assert (await proxy.chat(prompt="hello")).status == 503  # waited in vain
    assert (await running).status == 504

    numbers = await read(proxy)
    for outcome in ("completed", "interrupted", "client_left", "queue_timeout", "timeout"):
        assert numbers("codex_proxy_turns_total", outcome=outcome, model="gpt-5.5", mode="agent") == 1, outcome
    assert numbers("codex_proxy_turns_total") == 5
    assert numbers("codex_proxy_queue_wait_seconds_count") == 5
    assert numbers("codex_proxy_turn_duration_seconds_count", mode="agent") == 3  # those that a worker had
    assert numbers("codex_proxy_turn_duration_seconds_sum") > 2
    assert numbers("codex_proxy_turn_first_text_seconds_count", mode="agent") == 2
    counted = {"input": 104, "cached": 40, "output": 23, "reasoning": 5}  # with what we counted of the one that was cut
    for kind, tokens in counted.items():
        assert numbers("codex_proxy_tokens_total", kind=kind, model="gpt-5.5") == tokens
    answered = {"route": "/v1/chat/completions", "method": "POST"}
    for status, times in {"200": 2, "404": 1, "503": 1, "504": 1}.items():
        assert numbers("codex_proxy_http_answers_total", **answered, status=status) == times


async def test_a_client_that_leaves_a_running_turn_is_counted_as_such(proxy: Proxy) -> None:
    running = asyncio.ensure_future(proxy.chat(prompt="wait"))
    await read_when(proxy, "codex_proxy_turns_running", 1)
    running.cancel()
    await read_when(proxy, "codex_proxy_turns_total", 1, outcome="client_left")


async def test_workers_are_counted_by_state_and_their_ends_by_reason(start_proxy: ProxyStarter, environ: dict[str, str]) -> None:
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": "1", "CODEX_WORKER_MAX_TURNS": "1"}
    async with start_proxy() as proxy:
        await read_when(proxy, "codex_proxy_workers", 1, state="idle")
        assert (await proxy.chat(prompt="hello")).status == 200
        await read_when(proxy, "codex_proxy_worker_replacements_total", 1, reason="turn_limit")
        numbers = await read_when(proxy, "codex_proxy_workers", 1, state="idle")
        assert numbers("codex_proxy_ready") == 1


async def test_a_worker_is_replaced_after_a_turn_that_broke_off(proxy: Proxy) -> None:
    assert (await proxy.chat(prompt="refuse")).status == 429
    await read_when(proxy, "codex_proxy_turns_total", 1, outcome="failed:insufficient_quota")
    await read_when(proxy, "codex_proxy_worker_replacements_total", 1, reason="broken_off")


async def test_background_responses_are_counted_while_they_are_made(proxy: Proxy) -> None:
    asked = {"input": "wait", "background": True}
    made = await (await proxy.http.post(f"{proxy.base_url}/responses", json=asked)).json()
    assert (await read(proxy))("codex_proxy_background_responses") == 1
    await proxy.http.post(f"{proxy.base_url}/responses/{made['id']}/cancel")
    numbers = await read_when(proxy, "codex_proxy_background_responses", 0)
    assert numbers("codex_proxy_turns_total", outcome="interrupted") == 1
    assert numbers("codex_proxy_http_answers_total", route="/v1/responses/{id}/cancel", method="POST", status="200") == 1


async def test_no_label_holds_what_a_client_makes_up(proxy: Proxy) -> None:
    for number in range(5):
        await proxy.http.get(f"{proxy.address}/made/up/{number}")
        await proxy.http.get(f"{proxy.base_url}/models/made-up-{number}")
        await proxy.http.put(f"{proxy.base_url}/models?made-up-{number}")
        await proxy.chat(prompt="hello", model=f"made-up-{number}")
    numbers = await read(proxy)
    assert numbers("codex_proxy_http_answers_total", route="unknown", status="404", method="GET") == 5
    assert numbers("codex_proxy_http_answers_total", route="/v1/models/{id}", status="404") == 5
    assert numbers("codex_proxy_http_answers_total", route="unknown", status="405", method="other") == 5
    labels = {value for family in numbers.families for sample in family.samples for value in sample.labels.values()}
    assert not [value for value in labels if "made" in value.lower()]


async def test_failures_of_the_store_are_counted(tmp_path: Path, start_proxy: ProxyStarter, environ: dict[str, str]) -> None:
    environ["PROXY_STORE"] = f"sqlite://{tmp_path}/responses.sqlite"
    file = tmp_path / "responses.sqlite"
    async with start_proxy() as proxy:
        before = (await read(proxy))("codex_proxy_store_errors_total", code="store_unavailable")
        with contextlib.closing(sqlite3.connect(file)) as other:
            other.executescript("DROP VIEW kept; ALTER TABLE record RENAME TO elsewhere;")
        for _ in range(2):
            answer = await proxy.http.get(f"{proxy.base_url}/responses/resp_1")
            assert answer.status == 503
        assert (await read(proxy))("codex_proxy_store_errors_total", code="store_unavailable") - before >= 2


async def test_every_metric_is_named_as_prometheus_has_it_and_explained(proxy: Proxy) -> None:
    numbers = await read(proxy)
    ours = [family for family in numbers.families if family.name.startswith("codex_proxy_")]
    assert {family.name for family in numbers.families if family not in ours} == {
        *("process_cpu_seconds", "process_start_time_seconds", "process_open_fds", "process_max_fds"),
        *("process_resident_memory_bytes", "process_virtual_memory_bytes"),
    }
    for family in ours:
        assert re.fullmatch(r"[A-Z].+\.", family.documentation), family.name
        assert re.fullmatch(r"[a-z_]+", family.name)
        assert not re.search(r"_(total|count|sum|bucket|created|ms|minutes|mb|kb|percent)$", family.name)
        assert (family.type == "histogram") == family.name.endswith("_seconds"), family.name
        for sample in family.samples:
            assert not {"le", "quantile"} & sample.labels.keys() or family.type == "histogram"
    info = {"version", "cli_version"}
    [build] = [family for family in ours if family.name == "codex_proxy_build_info"]
    assert [sample.labels.keys() for sample in build.samples] == [info]


async def test_open_metrics_are_there_for_who_accepts_them(proxy: Proxy) -> None:
    accepted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = await proxy.http.get(f"{proxy.address}/metrics", headers={"Accept": accepted})
    assert answer.content_type == "application/openmetrics-text"
    families = open_metrics(await answer.text())
    assert {family.name for family in families} > {"codex_proxy_turns", "codex_proxy_queue_depth"}


async def test_the_dashboard_shows_what_is_there_and_leaves_nothing_out(proxy: Proxy) -> None:
    dashboard = json.loads((ROOT / "docs/examples/grafana-dashboard.json").read_text())
    assert {"title", "uid", "schemaVersion", "templating", "time", "panels"} <= dashboard.keys()
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    squares = [
        (across, down)
        for place in (panel["gridPos"] for panel in panels)
        for across in range(place["x"], place["x"] + place["w"])
        for down in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(squares)) == len(squares), "panels overlap"
    assert max(across for across, _ in squares) < 24
    variables = {variable["name"] for variable in dashboard["templating"]["list"]} | {"__rate_interval"}
    used: set[str] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["type"] in ("row", "stat", "timeseries")
        for target in panel.get("targets", ()):
            assert set(re.findall(r"\$\{?(\w+)", json.dumps(target))) <= variables
            assert target["expr"].count("(") == target["expr"].count(")")
            used |= set(re.findall(r"\b(?:codex_proxy|process)_\w+", target["expr"]))
    numbers = await read(proxy)
    assert used <= numbers.names
    shown = {family.name for family in numbers.families if any(name.startswith(family.name) for name in used)}
    assert {family.name for family in numbers.families} - shown == {"process_virtual_memory_bytes"}


async def test_the_machine_itself_reads_without_a_key_and_others_need_one(
    one_worker: dict[str, str], start_proxy: ProxyStarter
) -> None:
    one_worker["PROXY_API_KEY"] = _KEY
    async with start_proxy() as proxy, http_session() as stranger:
        place = f"{proxy.address}/metrics"
        assert (await stranger.get(place)).status == 200
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):  # a reverse proxy asks for somebody else
            answer = await stranger.get(place, headers={header: "127.0.0.1"})
            assert (answer.status, (await refusal(answer)).code) == (401, "invalid_api_key")
            assert (await proxy.http.get(place, headers={header: "127.0.0.1"})).status == 200
        answer = await stranger.get(place, headers={"Host": "evil.example"})
        assert (answer.status, (await refusal(answer)).code) == (421, "host_not_served")


async def test_without_any_key_only_the_machine_itself_reads(proxy: Proxy) -> None:
    answer = await proxy.http.get(f"{proxy.address}/metrics", headers={"X-Forwarded-For": "127.0.0.1"})
    assert (answer.status, (await refusal(answer)).code) == (403, "permission_denied")


async def test_another_address_is_not_the_machine_itself(one_worker: dict[str, str], start_proxy: ProxyStarter) -> None:
    own = _own_address()
    one_worker |= {"PROXY_HOST": "0.0.0.0", "PROXY_API_KEY": _KEY}
    async with start_proxy() as proxy:
        place = proxy.address.replace("0.0.0.0", own) + "/metrics"
        async with http_session(headers={"Host": "localhost"}, timeout=aiohttp.ClientTimeout(_LIMIT)) as stranger:
            assert (await stranger.get(place)).status == 401
            assert (await stranger.get(place, headers={"Authorization": f"Bearer {_KEY}"})).status == 200


async def test_whoever_may_open_the_unix_socket_is_the_machine_itself(
    environ: dict[str, str], home: Home, no_leftovers: None, tmp_path: Path
) -> None:
    settings, _ = load(environ, home.root)
    runner = web.AppRunner(create_app(settings, find(settings), MemoryStore(60.0, 1_000_000)))
    await runner.setup()
    try:
        path = str(tmp_path / "socket")
        await web.UnixSite(runner, path).start()
        async with http_session(connector=aiohttp.UnixConnector(path)) as http:
            assert (await http.get("http://localhost/metrics")).status == 200
            assert (await http.get("http://localhost/metrics", headers={"X-Forwarded-For": "192.0.2.1"})).status == 403
    finally:
        await runner.cleanup()


def _own_address() -> str:
    """An address of this machine that is not a loopback one; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address besides loopback")
        return str(probe.getsockname()[0])
