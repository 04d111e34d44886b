"""`codex-proxy serve` in a real terminal: its start screen, its short log, and Ctrl-C while a turn runs."""

import asyncio
import re
from collections.abc import AsyncIterator

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.commands.terminal import CTRL_C, Terminal, piped, terminal
from tests.support.sessions import http_session

_JSON = {"messages": [{"role": "user", "content": "go"}]}


async def test_the_start_is_one_screen_the_log_is_short_and_ctrl_c_says_what_it_waits_for(
    environ: dict[str, str], model: ModelServer
) -> None:
    asked = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("Hello"))
        if request.prompt == "wait":
            asked.set()
            await asyncio.Event().wait()

    model.script = script
    environ["CODEX_WORKSPACES"] = "/nowhere"
    async with terminal(environ, "serve") as screen, http_session() as http:
        await screen.shows("CODEX_WORKSPACES: /nowhere cannot be used: the directory does not exist")
        address = await _address(screen, "\x1b[32mReady\x1b[0m")
        shown = await screen.shows("Stop: Ctrl-C")
        labels = re.findall(r"^  \x1b\[2m(\w+) *\x1b\[0m ", shown.replace("\r", ""), re.MULTILINE)
        assert labels == ["Codex", "Model", "Workspace", "Sandbox", "Keys", "Store"] or labels[0] == "Console"
        await http.post(f"{address}/v1/chat/completions", json=_JSON)
        assert re.search(r"✓\x1b\[0m gpt-5.5 agent  \d\.\d s  10→5 tok", await screen.shows("req_"))
        await http.get(f"{address}/nothing")
        await screen.shows("✗\x1b[0m 404 not_found  GET /nothing")
        waiting = {"messages": [{"role": "user", "content": "wait"}]}
        turn = asyncio.ensure_future(http.post(f"{address}/v1/chat/completions", json=waiting))
        await asked.wait()
        screen.press(CTRL_C)
        await screen.shows("stopping: waiting up to 30 s for 1 turn; press Ctrl-C again to stop now")
        screen.press(CTRL_C)
        assert (await turn).status == 503
        assert await screen.ends() == 0


async def test_a_server_that_is_not_logged_in_says_so_and_when_it_is(environ: dict[str, str], home: Home) -> None:
    config = home.codex_home / "config.toml"
    logged_in = config.read_text()
    config.write_text(logged_in + "requires_openai_auth = true\n")
    async with terminal(environ, "serve") as screen, http_session() as http:
        address = await _address(screen, "Not ready: Codex is not logged in.")
        await screen.shows("Log in first: codex-proxy login")
        assert (await http.post(f"{address}/v1/chat/completions", json=_JSON)).status == 503
        await screen.shows("✗\x1b[0m 503 not_ready  POST /v1/chat/completions")
        await screen.shows("codex-proxy login")
        code, out, _ = await piped(environ, "", "smoke", "--base-url", address)
        assert (code, out.count("✗"), "the other checks were left out" in out) == (1, 1, True)
        config.write_text(logged_in)
        await screen.shows("Codex is logged in. Ready")
        screen.press(CTRL_C)
        assert await screen.ends() == 0


async def _address(screen: Terminal, state: str) -> str:
    await screen.shows(state)
    found = re.search(r"http://[\d.]+:\d+", await screen.shows("/v1"))
    assert found is not None
    return found[0]
