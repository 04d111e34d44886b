"""`status`, `smoke` and `client` with a running server, the real CLI and the demo's model."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from codex_proxy import __version__
from codex_proxy.commands.status import duration, screen
from codex_proxy.commands.terminal import Style
from codex_proxy.demo import script
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.commands.terminal import CTRL_C, piped, terminal
from tests.conftest import Proxy, ProxyStarter


async def test_status_tells_what_runs_now(proxy: Proxy, model: ModelServer, environ: dict[str, str]) -> None:
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def wait(_: ModelRequest) -> AsyncIterator[Step]:
        asked.set()
        await let_go.wait()
        yield Say(words("done"))

    model.script = wait
    code, out, err = await piped(environ, "", "status", "--base-url", proxy.address)
    assert (code, err) == (0, "")
    assert out.startswith("● Ready\n")
    assert f"codex-proxy {__version__}, up " in out
    assert "No turn is running." in out
    assert ", provider demo, " in out
    turn = asyncio.ensure_future(proxy.chat(prompt="go"))
    await asked.wait()
    code, out, _ = await piped(environ, "", "status", "--base-url", proxy.base_url)
    header, row = out.splitlines()[-2:]
    assert re.search(r"^Turns    1 of \d running, 0 of 64 waiting$", out, re.MULTILINE), out
    assert header.split() == ["KEY", "MODEL", "MODE", "SANDBOX", "TIME", "DOING"]
    assert row.split()[:2] == ["127.0.0.1", "gpt-5.5"]
    code, out, _ = await piped(environ, "", "status", "--json", "--base-url", proxy.base_url)
    told = json.loads(out)
    assert [turn["state"] for turn in told["turns"]] == ["running"]
    told["login"]["provider"] = None  # as it is told to one who is not the operator
    assert "None" not in "\n".join(screen(told, proxy.address, Style()))
    let_go.set()
    assert (await turn).status == 200


async def test_status_watches_a_server_that_restarts_until_ctrl_c(start_proxy: ProxyStarter, environ: dict[str, str]) -> None:
    async with AsyncExitStack() as stack:
        async with start_proxy() as proxy:
            screen = await stack.enter_async_context(terminal(environ, "status", "--watch", "--base-url", proxy.base_url))
            await screen.shows("\x1b[32m● Ready")
            await screen.shows("\x1b[H\x1b[J")
            await screen.shows("No turn is running.")
        await screen.shows("No server answers")
        screen.press(CTRL_C)
        assert await screen.ends() == 130


def test_a_duration_is_as_short_as_it_can_be() -> None:
    assert [duration(seconds) for seconds in (-1, 42.9, 3723, 97_200)] == ["0:00", "0:42", "1:02:03", "1 d 3 h"]


async def test_models_asks_the_server_that_runs_and_else_the_cli(environ: dict[str, str], start_proxy: ProxyStarter) -> None:
    environ["CODEX_EXTRA_MODELS"] = "of-the-server"
    async with start_proxy() as proxy:
        del environ["CODEX_EXTRA_MODELS"]
        port = proxy.address.rpartition(":")[2]
        code, out, err = await piped(environ | {"PROXY_PORT": port}, "", "models", "--json")
        assert (code, err) == (0, "")
        listed = json.loads(out)
        assert [listed[0]["id"], listed[0]["default"], listed[0]["default_effort"]] == ["gpt-5.5", True, "medium"]
        assert "of-the-server" in [model["id"] for model in listed]
        assert [model["id"] for model in listed if "chat" in model["id"]] == []
        code, out, _ = await piped(environ, "", "models", "--base-url", proxy.base_url)
        assert (code, "of-the-server" in out, out.splitlines()[1].split()[:2]) == (0, True, ["gpt-5.5", "(default)"])
    environ["PROXY_PORT"] = port
    code, out, err = await piped(environ, "", "models", "--json")
    assert (code, err, "of-the-server" in out, json.loads(out)[0]["id"]) == (0, "", False, "gpt-5.5")
    missing = [Path(environ["HOME"]) / "no" / name for name in ("home", "workspace")]
    nowhere = {name: str(place) for name, place in zip(("CODEX_CONFIG_DIR", "CODEX_WORKDIR"), missing, strict=True)}
    code, out, err = await piped({**environ, **nowhere}, "", "models", "--json")
    assert (code, err, bool(json.loads(out)), missing[0].parent.exists()) == (0, "", True, False)
    for typed, told in (
        (["codex", "--version"], "codex-cli"),
        (["codex", "--help"], "exec"),
        (["help", "codex"], "codex-proxy codex"),
    ):
        code, out, err = await piped(environ, "", *typed)
        assert (code, told in out) == (0, True), (typed, out, err)
    environ["PROXY_API_KEYS_FILE"] = str(Path(environ["HOME"]) / "keys.toml")
    code, out, err = await piped(environ, "", "keys", "add", "ci", "--model", "gpt-5.5", "--model", "gpt-5.5 chat")
    assert (code, out[:4]) == (0, "cpx_")
    assert err.startswith("Warning: there is no model 'gpt-5.5 chat'. Did you mean gpt-5.5? Models: gpt-"), err
    code, _, err = await piped(environ, "", "models", "--base-url", f"http://127.0.0.1:{port}")
    assert (code, "No server answers" in err) == (1, True)


async def test_smoke_passes_on_a_server_that_works_and_fails_on_one_that_does_not(
    proxy: Proxy, model: ModelServer, environ: dict[str, str]
) -> None:
    model.script = script.script
    code, out, _ = await piped(environ, "", "smoke", "--base-url", proxy.base_url)
    assert (code, out.count("✓"), out.splitlines()[-1]) == (0, 8, "All checks passed")
    kept = await (await proxy.http.get(f"{proxy.address}/x_codex/responses")).json()
    assert kept["data"] == []  # it has deleted what it made

    async def say_little(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("hm"))

    model.script = say_little
    code, out, _ = await piped(environ, "", "smoke", "--json", "--base-url", proxy.base_url)
    failed = {result["check"]: result["message"] for result in json.loads(out) if not result["ok"]}
    assert code == 1
    assert failed.keys() == {"tool loop", "structured", "conversation"}
    assert failed["tool loop"] == "the model did not call the tool"


async def test_smoke_says_once_that_no_server_answers(environ: dict[str, str]) -> None:
    code, out, err = await piped(environ, "", "smoke", "--base-url", "http://127.0.0.1:1/v1")
    assert (code, out, err.count("No server answers")) == (1, "", 1)


async def test_a_wrong_key_is_one_sentence(environ: dict[str, str], start_proxy: ProxyStarter) -> None:
    environ["PROXY_API_KEY"] = "right"
    async with start_proxy() as proxy:
        code, out, err = await piped(environ | {"PROXY_API_KEY": "wrong"}, "", "status", "--base-url", proxy.base_url)
        assert (code, out) == (1, "")
        assert ("--api-key KEY" in err, "Authorization" in err) == (True, False)
        bare = {name: value for name, value in environ.items() if name != "PROXY_API_KEY"}
        code, out, err = await piped(bare, "", "client", "curl", "--base-url", proxy.base_url)
        assert (code, proxy.base_url in out, "--api-key KEY" in err) == (0, True, True)
        code, out, _ = await piped(environ, "", "client", "curl", "--base-url", proxy.base_url)
        assert (code, proxy.base_url in out, "Bearer right" in out) == (0, True, True)
