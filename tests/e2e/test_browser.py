"""Pages in a real browser against running servers: a stranger's gets nothing and runs nothing, a friend's may stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from tests.conftest import RunningCommand
from tests.e2e.browser import Pages, chromium, rebound

_SCRIPT = Path(__file__).with_name("browser.js")
_EVIL = "evil.example"
_LIMIT = 60.0  # seconds
_NOTHING_READ = {"", "TypeError", "SecurityError", "0"}  # an event without content; what a refused fetch and a foreign frame raise


async def count_slowly(_: ModelRequest) -> AsyncIterator[Step]:
    yield Say(tuple(f"t{number} " for number in range(10)), pace=0.05)


async def test_a_strangers_page_reads_nothing_and_runs_nothing_and_a_friends_page_streams(
    start_command: Callable[[], Awaitable[RunningCommand]], environ: dict[str, str], model: ModelServer, tmp_path: Path
) -> None:
    model.script = count_slowly
    async with asyncio.timeout(_LIMIT), Pages.served(_SCRIPT) as pages:
        friend = f"http://localhost:{pages.port}"
        environ |= {"PROXY_STORE": "memory", "CODEX_MAX_PARALLEL_REQUESTS": "1", "PROXY_CORS_ORIGINS": friend}
        open_ = await start_command()
        environ["PROXY_API_KEY"] = "sk-that-no-page-knows"
        keyed = await start_command()
        asked = {"pages": pages.port, "servers": f"{open_.address},{keyed.address}"}
        last = f"{friend}/page/friend?{urlencode(asked)}"
        evil = f"http://{_EVIL}:{urlsplit(open_.address).port}/page/rebinder?{urlencode(asked | {'next': last})}"
        first = f"http://127.0.0.1:{pages.port}/page/stranger?{urlencode(asked | {'next': evil})}"
        async with rebound(pages, open_.address) as port, chromium(tmp_path, first, {_EVIL: port}):
            read = await pages.found("stranger")
            refused = await pages.found("rebinder")
            streamed = await pages.found("friend")
    assert set(read) == {open_.address, keyed.address}
    for tries in read.values():
        assert len(tries) > 15
        assert {name: text for name, text in tries.items() if text not in _NOTHING_READ} == {}
    assert len(refused) == 5
    assert all(text.startswith('421{"error":{') for text in refused), refused
    assert [request.prompt for request in model.requests] == ["friend"]
    assert (streamed["status"], streamed["text"].count('"content":"t'), streamed["models"] > 0) == (200, 10, True)
    assert streamed["id"].startswith("req_")
    assert streamed["times"][-1] - streamed["times"][0] > 300  # milliseconds: it came as it was made
