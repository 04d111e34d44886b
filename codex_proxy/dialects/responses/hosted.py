"""Items of tools that OpenAI runs itself, or that its clients run, and that this server does not offer.

They come with conversations that began elsewhere. Items with a result become a call and its output; items that only record that
something was done are left out, because the messages after them have the outcome.
"""

import base64
import binascii
from typing import Any

import msgspec

from codex_proxy.dialects import body
from codex_proxy.dialects.call_ids import CallIds
from codex_proxy.dialects.images import image
from codex_proxy.dialects.responses.items import SERVER_LABEL
from codex_proxy.errors import InvalidRequest, UnsupportedParameter
from codex_proxy.history import Answered, Called, History, Part, Text

# Mere records.
RECORDS = ("web_search_call", "mcp_list_tools", "tool_search_call")


class FileSearch(msgspec.Struct, frozen=True):
    id: str | None = None
    queries: list[str] | None = None
    results: list["FileFound"] | None = None


class FileFound(msgspec.Struct, frozen=True):
    text: str | None = None
    filename: str | None = None
    file_id: str | None = None


class CodeRun(msgspec.Struct, frozen=True):
    id: str | None = None
    code: str | None = None
    outputs: list["CodeOutput"] | None = None


class CodeOutput(msgspec.Struct, frozen=True):
    logs: str | None = None
    url: str | None = None


class ImageMade(msgspec.Struct, frozen=True):
    id: str | None = None
    result: str | None = None
    revised_prompt: str | None = None
    output_format: str | None = None


class McpCallInput(msgspec.Struct, frozen=True):
    name: str
    arguments: str
    id: str | None = None
    server_label: str | None = None
    output: str | None = None
    error: str | dict[str, Any] | None = None  # Any: differs by kind; passed on as it is


class RanCall(msgspec.Struct, frozen=True):
    """A call of the client's computer, shell, patch tool or program; one of the members has the details."""

    id: str | None = None
    call_id: str | None = None
    action: dict[str, Any] | None = None  # Any: passed on as it is, like the others
    actions: list[Any] | None = None
    operation: dict[str, Any] | None = None
    code: str | None = None


class ShellEnd(msgspec.Struct, frozen=True):
    type: str
    exit_code: int | None = None


class ShellPiece(msgspec.Struct, frozen=True):
    stdout: str | None = None
    stderr: str | None = None
    outcome: ShellEnd | None = None


class Screenshot(msgspec.Struct, frozen=True):
    image_url: str | None = None
    file_id: str | None = None


class RanOutput(msgspec.Struct, frozen=True):
    """The output of such a call: a text, the pieces of a shell's output, or a screenshot."""

    id: str | None = None
    call_id: str | None = None
    output: str | list[ShellPiece] | Screenshot | None = None
    result: str | None = None
    status: str | None = None


CALLS = {
    "computer_call": "computer",
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
    "program": "program",
}
OUTPUTS = tuple(f"{kind}_output" for kind in CALLS)


def file_search(item: dict[str, Any], place: str, ids: CallIds) -> list[History]:
    found = body.convert(item, FileSearch, place)
    texts = [f"{one.filename or one.file_id or 'A file'}:\n{one.text or ''}" for one in found.results or ()]
    return _pair(ids, found.id, "file_search", {"queries": found.queries or []}, (Text("\n\n".join(texts)),)) if texts else []


def code_interpreter(item: dict[str, Any], place: str, ids: CallIds) -> list[History]:
    run = body.convert(item, CodeRun, place)
    texts = [one.logs if one.url is None else f"[image: {one.url}]" for one in run.outputs or ()]
    output = "\n".join(filter(None, texts))
    return _pair(ids, run.id, "code_interpreter", {"code": run.code or ""}, (Text(output),)) if output else []


def image_generation(item: dict[str, Any], place: str, ids: CallIds) -> list[History]:
    made = body.convert(item, ImageMade, place)
    if made.result is None:
        return []
    output = _image_made(made.result, made.output_format or "png", f"{place}.result")
    return _pair(ids, made.id, "image_generation", {"prompt": made.revised_prompt or ""}, (output,))


def _image_made(result: str, kind: str, place: str) -> Part:
    if kind != "svg":
        return image(f"data:image/{kind};base64,{result}", None, place)
    try:
        return Text(base64.b64decode(result, validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("The image is not base64.", param=place) from error


def mcp_call(done: McpCallInput, ids: CallIds) -> list[History]:
    """Convert an mcp_call: the agent's own work, as we reported it, or a call made by another server."""
    problem = "" if done.error is None else f"Error: {msgspec.json.encode(done.error).decode()}"
    output = Text("\n".join(filter(None, (done.output, problem))))
    return mcp_pair(ids, done, output, agents=done.server_label in (None, SERVER_LABEL))


def mcp_pair(ids: CallIds, call: McpCallInput, output: Text, *, agents: bool = False) -> list[History]:
    name = ids.called(call.id)
    ids.answered(call.id)
    return [Called(name, call.name, call.arguments, agents=agents), Answered(name, (output,), agents=agents)]


def call(kind: str, item: dict[str, Any], place: str, ids: CallIds) -> list[History]:
    """Convert a call of one of CALLS; its output is an item of its own."""
    asked = body.convert(item, RanCall, place)
    members = {"action": asked.action, "actions": asked.actions, "operation": asked.operation, "code": asked.code}
    arguments = {name: value for name, value in members.items() if value is not None}
    return [Called(ids.called(asked.call_id or asked.id), CALLS[kind], msgspec.json.encode(arguments).decode())]


def output(item: dict[str, Any], place: str) -> tuple[str | None, tuple[Part, ...]]:
    """Return the id of the call and its output."""
    came = body.convert(item, RanOutput, place)
    match came.output:
        case None:
            told: Part = Text(came.result if came.result is not None else came.status or "")
        case str(text):
            told = Text(text)
        case list(pieces):
            told = Text("\n".join(filter(None, map(_shell_text, pieces))))
        case Screenshot(image_url=str(url)):
            told = image(url, None, f"{place}.output.image_url")
        case Screenshot():
            raise UnsupportedParameter("Send a screenshot in image_url; file ids are not supported.", param=f"{place}.output")
    return came.call_id or came.id, (told,)


def _shell_text(piece: ShellPiece) -> str:
    end = piece.outcome
    failed = "" if end is None or (end.type == "exit" and not end.exit_code) else f"[{end.type} {end.exit_code or ''}".strip() + "]"
    return "\n".join(filter(None, (piece.stdout, piece.stderr, failed)))


def _pair(ids: CallIds, given: str | None, name: str, arguments: dict[str, Any], output: tuple[Part, ...]) -> list[History]:
    called = ids.called(given)
    ids.answered(given)
    return [Called(called, name, msgspec.json.encode(arguments).decode()), Answered(called, output)]
