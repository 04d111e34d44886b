"""`codex-proxy smoke`: eight end-to-end checks of a running server, one line each. They cost a few short turns."""

import argparse
import contextlib
import time
from collections.abc import Callable
from typing import Any

import msgspec

from codex_proxy.commands import api, place
from codex_proxy.commands.api import Api, Json
from codex_proxy.commands.running import BROKE
from codex_proxy.commands.terminal import columns, fitted
from codex_proxy.errors import CommandFailed

_CANCEL_TIMEOUT = 20.0  # seconds
_LOOK_EVERY = 0.2
_BEFORE = 24  # columns of a line before what a check says
_NOT_READY = "not_ready"  # the code of a server that can run no turn
_TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
    "additionalProperties": False,
}
# A red square of 8 × 8 pixels.
_PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mP4z8CAFTEMLQkAKP8/wc53yE8AAAAASUVORK5CYII="


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", help="the model to use (default: the server's)")
    parser.add_argument("--json", action="store_true", help="the results as a JSON array")
    api.add_server_options(parser)


class Failed(Exception):
    """A failed check; the message says what is wrong."""


def run(arguments: argparse.Namespace) -> int:
    server, style = api.server(arguments), place.out_style()
    asked = Asked(server, arguments.model)
    results: list[dict[str, Any]] = []
    for name, check in CHECKS.items():
        began, code = time.monotonic(), None
        try:
            said, good = check(asked), True
        except (Failed, CommandFailed) as error:
            code = getattr(error, "code", None)
            if isinstance(error, api.Unreachable) and not results and not arguments.json:
                raise  # no server: report it once, not for every check
            said, good = str(error), False
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            said, good = f"the answer does not have the form of the API: {error!r}", False
        took = time.monotonic() - began
        results.append({"check": name, "ok": good, "message": said, "seconds": round(took, 2)})
        if not arguments.json:
            sign = style.good("✓") if good else style.bad("✗")
            shown = fitted(said, columns() - _BEFORE) if good else said
            print(f"{sign} {name:12} {took:5.1f} s  {shown}", flush=True)
            if code == _NOT_READY:
                print("No turn can run, so the other checks were left out.")
                break
    asked.forget()
    if arguments.json:
        print(msgspec.json.encode(results).decode())
    failed = sum(not result["ok"] for result in results)
    if not arguments.json:
        print(f"\n{style.bad(f'{failed} of {len(results)} checks failed')}" if failed else f"\n{style.good('All checks passed')}")
    return BROKE if failed else 0


class Asked:
    """A server to send small requests to."""

    def __init__(self, server: Api, model: str | None) -> None:
        self.server = server
        self._model = {"model": model} if model else {}
        self._stored: list[str] = []

    def chat(self, content: Any, **members: Any) -> Json:  # Any: members of the OpenAI API
        messages = content if isinstance(content, list) and "role" in content[0] else [{"role": "user", "content": content}]
        answer = self.server.post("/chat/completions", {**self._model, "messages": messages, **members})
        choice: Json = answer["choices"][0]
        return choice

    def respond(self, prompt: str, **members: Any) -> Json:  # Any: as above
        response = self.server.post("/responses", {**self._model, "input": prompt, **members})
        self._stored.append(response["id"])
        return response

    def forget(self) -> None:
        """Delete the responses that the server has stored, which would else stay in its History."""
        for stored in reversed(self._stored):
            with contextlib.suppress(CommandFailed):
                self.server.delete(f"/responses/{stored}")

    def stream(self, prompt: str) -> list[Json]:
        body = {**self._model, "messages": [{"role": "user", "content": prompt}], "stream": True}
        with self.server.stream("/chat/completions", body) as events:
            return list(events)


def _models(asked: Asked) -> str:
    names = [model["id"] for model in asked.server.get("/models")["data"]]
    _expect(names, "the list is empty")
    return f"{len(names)} names, first {names[0]}"


def _plain(asked: Asked) -> str:
    return _short(_text(asked.chat("Say hello in one short sentence.")))


def _stream(asked: Asked) -> str:
    chunks = asked.stream("Count from one to five in words.")
    pieces = [chunk["choices"][0]["delta"].get("content") for chunk in chunks if chunk["choices"]]
    said = [piece for piece in pieces if piece]
    _expect(said, "no text arrived")
    ends = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]]
    _expect(ends[-1] == "stop", f"the stream ended with {ends[-1]}")
    return f"{len(said)} pieces"


def _tool_loop(asked: Asked) -> str:
    tools = [{"type": "function", "function": _TOOL}]
    question = {"role": "user", "content": "Use get_weather to find out the weather in Kyoto."}
    choice = asked.chat([question], tools=tools)
    calls = choice["message"].get("tool_calls") or []
    _expect(calls and calls[0]["function"]["name"] == "get_weather", "the model did not call the tool")
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "Sunny, 24 degrees"} for call in calls]
    answer = _text(asked.chat([question, choice["message"], *results], tools=tools))
    return f"called with {calls[0]['function']['arguments']}, then: {_short(answer, 50)}"


def _structured(asked: Asked) -> str:
    wanted = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": _SCHEMA}}
    text = _text(asked.chat("Kyoto: its name and its population.", response_format=wanted))
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise Failed(f"the answer is not JSON: {_short(text)}") from None
    good = isinstance(found, dict) and isinstance(found.get("city"), str) and isinstance(found.get("population"), int)
    _expect(good and set(found) == {"city", "population"}, f"the answer does not fit the schema: {_short(text)}")
    return _short(text)


def _image(asked: Asked) -> str:
    parts = [{"type": "text", "text": "What colour is this image?"}, {"type": "image_url", "image_url": {"url": _PNG}}]
    return _short(_text(asked.chat(parts)))


def _conversation(asked: Asked) -> str:
    first = asked.respond("Remember the number 7. Answer with OK.")
    second = _output(asked.respond("Which number was it?", previous_response_id=first["id"]))
    _expect("7" in second or "seven" in second.lower(), f"the number was not remembered: {_short(second)}")
    return _short(second)


def _cancel(asked: Asked) -> str:
    begun = asked.respond("Count from 1 to 500, a number a line.", background=True)
    asked.server.post(f"/responses/{begun['id']}/cancel", {})
    until = time.monotonic() + _CANCEL_TIMEOUT
    status = ""
    while time.monotonic() < until:
        status = asked.server.get(f"/responses/{begun['id']}")["status"]
        if status not in ("queued", "in_progress"):
            break
        time.sleep(_LOOK_EVERY)
    _expect(status in ("cancelled", "completed"), f"the response reads {status}")
    return f"the response reads {status}"


CHECKS: dict[str, Callable[[Asked], str]] = {
    "models": _models,
    "plain": _plain,
    "stream": _stream,
    "tool loop": _tool_loop,
    "structured": _structured,
    "image": _image,
    "conversation": _conversation,
    "cancel": _cancel,
}


def _expect(fact: object, problem: str) -> None:
    if not fact:
        raise Failed(problem)


def _text(choice: Json) -> str:
    text = choice["message"]["content"]
    _expect(text, f"no text, finish_reason {choice['finish_reason']}")
    return str(text)


def _output(response: Json) -> str:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    text = "".join(part.get("text", "") for part in parts)
    _expect(text, f"no text, status {response['status']}")
    return text


def _short(text: str, most: int = 60) -> str:
    flat = " ".join(text.split())
    return f"{flat[:most]}…" if len(flat) > most else flat
