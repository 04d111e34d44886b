"""`codex-proxy chat` in a real terminal and in a pipe, with a running server and the real CLI."""

import asyncio
import json
import os
from collections.abc import AsyncIterator

from codex_proxy.commands.chat_view import clean
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Refuse, Say, Step, words
from tests.commands.terminal import CTRL_C, CTRL_D, LIMIT, piped, terminal
from tests.conftest import Proxy, process_with, processes_with

_PROMPT = "› "
_SLEEP = f"sleep 306.{os.getpid():07}"  # a number of this run's own, to find it among all processes


async def test_a_conversation_streams_stops_at_ctrl_c_and_goes_on(
    proxy: Proxy, model: ModelServer, environ: dict[str, str]
) -> None:
    let_go = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.prompt == "wait":
            yield Call("exec_command", json.dumps({"cmd": _SLEEP, "yield_time_ms": 30_000}), f"call_{len(request.input)}")
        elif request.prompt == "first":
            yield Say(words("one two and"))
            await let_go.wait()
            yield Say(words("three four"))
        else:
            yield Say(words("the last answer"))

    model.script = script
    async with terminal(environ, "chat", "--base-url", proxy.base_url) as screen:
        assert "gpt-5.5" in await screen.shows(_PROMPT)
        screen.press("first\n")
        await screen.shows("two")
        let_go.set()
        await screen.shows("four")
        await screen.shows("\x1b[2mgpt-5.5  ")  # the dimmed line under an answer
        await screen.shows(_PROMPT)
        screen.press("wait\n")
        await screen.shows(f"$ {_SLEEP}")
        await process_with(_SLEEP)
        screen.press(CTRL_C)
        await screen.shows("Stopped.")
        await screen.shows(_PROMPT)
        async with asyncio.timeout(LIMIT):
            while processes_with(_SLEEP):
                await asyncio.sleep(0.05)
        screen.press("/modell gpt-5.5 chat\n")
        await screen.shows("Did you mean /model?")
        screen.press("/effort hihg\n")
        await screen.shows("Did you mean high?")
        screen.press("/model gpt-9\n")
        await screen.shows("The model 'gpt-9' does not exist. Available models: gpt-5.5, ")
        screen.press("/model\n")
        await screen.shows("model: the server's default. Values: gpt-5.5, ")
        screen.press("/model gpt-5.5 low\n")
        await screen.shows("model: gpt-5.5 low")
        screen.press("/model\n")
        await screen.shows("model: gpt-5.5 low. Values: gpt-5.5, ")
        screen.press("/sandbox workspace-write\n/sandbox default\n")
        await screen.shows("sandbox: the server's default")
        screen.press("\x1b[200~last\nline\x1b[201~\n")  # pasted
        await screen.shows("the last answer")
        await screen.shows(_PROMPT)
        screen.press(CTRL_C)
        await screen.shows("Press Ctrl-D to exit.")
        screen.press(CTRL_D)
        assert await screen.ends() == 0
    said = json.dumps(model.requests[-1].input)
    assert [text for text in ("first", "three four", "wait", "last\\nline") if f'"{text}"' not in said] == []
    assert model.requests[-1].body["reasoning"]["effort"] == "low"


async def test_a_pipe_gets_the_answer_alone_and_gives_text_to_ask_about(
    proxy: Proxy, model: ModelServer, environ: dict[str, str]
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if not request.outputs:
            yield Say(words("I look first."), phase="commentary")
            yield Call("exec_command", json.dumps({"cmd": "echo 4711"}), f"call_{len(request.input)}")
        else:
            yield Say(words("All is well."), phase="final_answer")

    model.script = script
    code, out, err = await piped(environ, "the change\n", "chat", "Review", "this", "--base-url", proxy.base_url)
    assert (code, out, err) == (0, "All is well.\n", "")
    assert model.requests[-1].prompt == "Review this\n\nthe change"
    code, out, _ = await piped(environ, "", "chat", "--continue", "And?", "--base-url", proxy.base_url)
    assert (code, out) == (0, "All is well.\n")
    assert "Review this" in json.dumps(model.requests[-1].input)


async def test_a_turn_that_fails_ends_with_1_and_a_sentence(proxy: Proxy, model: ModelServer, environ: dict[str, str]) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Refuse(400)

    model.script = script
    code, out, err = await piped(environ, "", "chat", "Go", "--base-url", proxy.base_url)
    assert (code, out) == (1, "")
    assert err.startswith("The model provider refused the request")
    assert "Traceback" not in err


async def test_a_conversation_that_is_gone_begins_anew(proxy: Proxy, environ: dict[str, str], home: Home) -> None:
    memory = home.root / ".local" / "state" / "codex-proxy" / "chat.json"
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(json.dumps({proxy.base_url: "resp_gone"}))
    code, out, err = await piped(environ, "", "chat", "--continue", "Go", "--base-url", proxy.base_url)
    assert (code, out) == (0, "Hello from the scripted model.\n")
    assert err == "The server no longer has this conversation; starting a new one.\n"


async def test_where_no_server_answers_it_says_how_to_start_one(environ: dict[str, str]) -> None:
    code, _, err = await piped(environ, "", "chat", "Go", "--base-url", "http://127.0.0.1:9")
    assert code == 1
    assert err == (
        "No server answers at http://127.0.0.1:9: Connection refused. "
        "Start one with: codex-proxy serve. For another server: --base-url URL\n"
    )
    code, _, err = await piped(environ, "", "chat", "Go", "--base-url", "ftp://x")
    assert err == "--base-url ftp://x is not an address. Example: http://127.0.0.1:8000/v1\n"


def test_an_answer_cannot_steer_the_terminal() -> None:
    assert clean("a\x1b[2Jb\x07\r\x9b1mc\td\n日本 é") == "a[2Jb1mc\td\n日本 é"
