"""The script of the demo's model: deterministic text that uses its input and never pretends to be intelligent.

It calls the client's tools that the prompt names, runs a command when asked to, fills in a schema, recalls what was said in the
conversation, and measures images.
"""

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from codex_proxy.codex.tools import AGENTS_OWN
from codex_proxy.demo import commands, examples, memory, shell
from codex_proxy.demo.steps import Call, Count, ModelRequest, Say, Step, Think, words
from codex_proxy.dialects import image_header

PACE = 0.03  # seconds between words, so that a reader sees them stream
_OF_SCRIPT = "Script completed\n"
_OWN, _OWN_GROUPS = AGENTS_OWN | {"wait", "request_user_input_async"}, ("clock",)  # tools of Codex's, also in code mode
_BEFORE_OUTPUT = "\nOutput:\n"  # Codex puts the command's output after this
_EXIT_CODE = re.compile(r"^(?:Process exited with code|Exit code:) ([1-9]\d*)$", re.MULTILINE)
_MUST_CALL = "by calling one of the functions"  # in our reminder to a model that must call a tool
_AS_JSON = "Answer with one JSON value and nothing else"
_OF_SCHEMA = "fits this JSON Schema: "
_ANY_OBJECT = '{"properties": {"demo": {"type": "boolean"}, "answer": {}}}'
_IMAGE = re.compile(r"data:image/(\w+);base64,(.+)", re.DOTALL)
_QUOTED_AT_MOST = 2_000  # characters
_DEMO = "This is the codex-proxy demo"
_WHAT_IT_IS = f"{_DEMO}: the real Codex CLI with a built-in offline model, so nothing here is intelligent."


async def script(request: ModelRequest) -> AsyncIterator[Step]:
    """Play one response of the demo's model."""
    told = sum(len(json.dumps(item)) for item in request.input) // 4
    if not request.outputs and (calls := list(_calls(request))):
        for step in calls:
            yield step
        yield Count(input=told, output=20)
        return
    pieces = words(_answer(request))
    yield Say(pieces, PACE)
    yield Count(input=told, output=len(pieces))


def _calls(request: ModelRequest) -> Iterator[Step]:
    """The tool calls that the prompt asks for."""
    prompt, must_call = request.prompt, _MUST_CALL in request.prompt
    if must_call:
        prompt = next(iter(memory.said_before(request.said_by_user)[-1:]), "")
    theirs = list(_client_tools(request.tools))
    named = [tool for tool in theirs if _is_named(tool["name"], prompt)]
    for number, tool in enumerate(named or (theirs[:1] if must_call else [])):
        arguments = json.dumps(examples.fitting(tool.get("parameters") or {"type": "object"}, prompt))
        yield Call(tool["name"], arguments, f"call_demo_{len(request.input) + number}", tool.get("namespace"))
    command = None if named or must_call else commands.wanted(prompt)
    if command is not None and shell.tool(request) is not None:
        yield Think(("**Running the command**",))
        yield shell.run(command, request, f"call_demo_{len(request.input)}")


def _client_tools(tools: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The tools that are not Codex's own; those in a namespace get it as a member."""
    for tool in tools:
        if tool["type"] == "namespace" and tool["name"] not in _OWN_GROUPS:
            own = _OWN if tool["name"] == "functions" else ()
            inner = (one for one in tool.get("tools", ()) if one["type"] == "function" and one["name"] not in own)
            yield from ({**one, "namespace": tool["name"]} for one in inner)
        elif tool["type"] == "function" and tool.get("name") not in _OWN:
            yield tool


def _is_named(name: str, prompt: str) -> bool:
    """Whether the prompt contains a tool's name, as it is or in words: "get weather" names get_weather."""
    spoken = re.escape(name).replace("_", r"[_\s]").replace(r"\-", r"[-\s]")
    return bool(re.search(rf"(?<!\w){spoken}(?!\w)", prompt, re.IGNORECASE))


def _answer(request: ModelRequest) -> str:
    schema = _wanted_schema(request)
    if schema is not None:
        return json.dumps(examples.fitting(schema, request.prompt), ensure_ascii=False)
    if request.outputs:
        told = "\n\n".join(map(_of_output, request.outputs))
        return f"{_DEMO}. {told}"
    if request.images:
        return f"{_DEMO}. {' '.join(map(_of_image, request.images))}"
    before = memory.said_before(request.said_by_user)
    if facts := memory.recalled(request.prompt, before):
        return f"{_DEMO}. You asked me to remember {' and '.join(facts)}."
    if (fact := memory.to_keep(request.prompt)) is not None:
        return f"{_DEMO}. I will remember {fact}, for this conversation."
    if before:
        return f"{_DEMO}. You said: {_quoted(request.prompt)} Before that you said: {_quoted(before[-1])}"
    return f"{_WHAT_IT_IS} You said: {_quoted(request.prompt)} {_suggestion(request)}"


def _suggestion(request: ModelRequest) -> str:
    if shell.tool(request) is not None:
        return "Ask me to run `uname -a` and Codex will, in its sandbox."
    return "Ask me to remember a number, or to use a tool of yours by its name; I have no shell in chat mode."


def _wanted_schema(request: ModelRequest) -> dict[str, Any] | None:
    """The JSON Schema that the answer must fit, from the request's format or from our instruction in the prompt."""
    form: dict[str, Any] = (request.body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        schema: dict[str, Any] = form["schema"]
        return schema
    asked = [item for item in request.input if item.get("role") == "developer"][-3:]
    told = next((part["text"] for item in asked for part in item.get("content", ()) if _AS_JSON in part.get("text", "")), None)
    return None if told is None else dict(json.loads(told.partition(_OF_SCHEMA)[2] or _ANY_OBJECT))


def _of_output(output: str) -> str:
    """A sentence about the result of a tool or command, followed by its text with line breaks."""
    if output.startswith(_OF_SCRIPT):
        output = output.partition(_BEFORE_OUTPUT)[2]
    head, mark, printed = output.partition(_BEFORE_OUTPUT)
    failed = _EXIT_CODE.search(head) if mark else None
    what = "The command printed" if mark else "The tool answered"
    text = (printed if mark else output).strip("\n")
    if failed:
        what = f"The command failed with exit code {failed[1]}"
    if not text:
        return f"{what}." if failed else f"{what} nothing."
    return f"{what}:\n\n```\n{_cut(text)}\n```"


def _of_image(url: str) -> str:
    found = _IMAGE.fullmatch(url)
    kind = found[1] if found else ""
    try:
        content = base64.b64decode(found[2] if found else "", validate=True)
    except binascii.Error:
        content = b""
    size = image_header.size(kind, content) if kind in image_header.KINDS else None
    if size is None:
        return "I cannot read the header of this image."
    return f"The image is {size[0]} × {size[1]} pixels ({kind.upper()}, {len(content):,} bytes)."


def _quoted(text: str) -> str:
    return f"“{_cut(text.strip())}”"


def _cut(text: str) -> str:
    return f"{text[:_QUOTED_AT_MOST]}…" if len(text) > _QUOTED_AT_MOST else text
