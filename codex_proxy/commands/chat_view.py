"""What to show of a streamed response (events of the Responses API): everything on a terminal, only the answer in a pipe.

The model's text is stripped of control characters, so that an answer cannot move the cursor or set the title.
"""

import sys
from typing import Any, Protocol

import msgspec

from codex_proxy.commands.terminal import Style
from codex_proxy.commands.wrapping import Wrapping
from codex_proxy.outcome import brief

Event = dict[str, Any]  # Any: the server's JSON, read member by member

_OUTPUT_LINES = 6  # of a command's output to show
_PASSED = frozenset("\n\t")
_COMMENTARY = "commentary"


class View(Protocol):
    """Shows the events of one response."""

    def show(self, event: Event) -> None: ...
    def note(self, text: str) -> None: ...
    def end(self, seconds: float) -> bool:
        """Finish the view. Returns True if the response ended well."""


class Plain:
    """A view that writes only the answer to stdout, and problems to stderr."""

    def __init__(self) -> None:
        self._commentary: set[str] = set()
        self._ends_line = True
        self._problem: str | None = "The server closed the connection."

    def show(self, event: Event) -> None:
        match event["type"]:
            case "response.output_item.added" if event["item"].get("phase") == _COMMENTARY:
                self._commentary.add(event["item"]["id"])
            case "response.output_text.delta" if event["item_id"] not in self._commentary:
                sys.stdout.write(event["delta"])
                sys.stdout.flush()
                self._ends_line = event["delta"].endswith("\n")
            case "response.output_item.done" if event["item"]["type"] == "message" and not self._ends_line:
                sys.stdout.write("\n")
                self._ends_line = True
            case kind:
                self._problem = problem_of(event) if kind in _LAST else self._problem

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)

    def end(self, seconds: float) -> bool:
        if self._problem:
            self.note(self._problem)
        return self._problem is None


class Screen:
    """A view that shows everything as it arrives: reasoning and the agent's work dimmed, then the answer."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._column = 0  # 0 at the start of a line
        self._dimmed = False
        self._shown = False
        self._work: dict[str, str] = {}  # item id -> name of the call
        self._wrapping = Wrapping()
        self._usage: dict[str, Any] = {}
        self._model = ""
        self._problem: str | None = "The server closed the connection."

    def show(self, event: Event) -> None:
        match event["type"]:
            case "response.created":
                self._model = event["response"]["model"]
            case "response.output_text.delta":
                self._flow(event["delta"], dimmed=False)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._flow(event["delta"].replace("**", ""), dimmed=True)
            case "response.output_text.done" | "response.reasoning_summary_text.done" | "response.reasoning_text.done":
                self._put(self._wrapping.flush())
            case "response.output_item.done":
                self._done(event["item"])
            case "response.output_item.added" if event["item"]["type"] == "mcp_call":
                self._work[event["item"]["id"]] = event["item"]["name"]
            case "response.mcp_call_arguments.done":  # shown now: the call may take long
                for line in work_begun(self._work.get(event["item_id"], ""), event["arguments"]):
                    self._line(line)
            case kind if kind in _LAST:
                self._problem = problem_of(event)
                self._usage = (event.get("response") or {}).get("usage") or {}

    def note(self, text: str) -> None:
        self._line(text)

    def end(self, seconds: float) -> bool:
        self._fresh_line()
        if self._problem:
            print(self._style.bad(self._problem))
            return False
        tokens = f"  {brief(self._usage['input_tokens'])}→{brief(self._usage['output_tokens'])} tok" if self._usage else ""
        print(self._style.dim(f"{self._model}  {seconds:.1f} s{tokens}"))
        return True

    def _done(self, item: dict[str, Any]) -> None:
        self._fresh_line()
        match item["type"]:
            case "mcp_call":
                for line in work_done(item):
                    self._line(line)
            case "web_search_call":
                self._line(f"search: {item['action'].get('query') or item['action'].get('url', '')}")

    def _line(self, text: str) -> None:
        self._fresh_line()
        self._dimmed = True
        self._put(clean(f"{text}\n"))

    def _fresh_line(self) -> None:
        self._put(self._wrapping.flush())
        if self._column:
            sys.stdout.write("\n")
            self._column = 0
        self._wrapping.begin_line()

    def _flow(self, text: str, *, dimmed: bool) -> None:
        """Write more text, wrapped between words."""
        safe = clean(text)
        if not safe:
            return
        if self._shown and self._dimmed and not dimmed:  # a blank line between the work and the answer
            self._fresh_line()
            sys.stdout.write("\n")
        self._dimmed = dimmed
        self._put(self._wrapping.feed(safe))

    def _put(self, safe: str) -> None:
        if safe:
            self._shown = True
            sys.stdout.write(self._style.dim(safe) if self._dimmed else safe)
            sys.stdout.flush()
            self._column = 0 if safe.endswith("\n") else 1


_LAST = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")


def problem_of(event: Event) -> str | None:
    """Return what a final event says went wrong; None if nothing did."""
    response = event.get("response") or {}
    match event["type"]:
        case "response.completed":
            return None
        case "response.incomplete":
            return f"The answer is incomplete: {(response.get('incomplete_details') or {}).get('reason', 'it was cut off')}."
        case "error":
            return str(event.get("message") or "The turn failed.")
        case _:
            return str((response.get("error") or {}).get("message") or "The turn was stopped.")


def work_begun(name: str, arguments: str) -> list[str]:
    """Describe a call of the server "codex", work that the agent is starting."""
    known = _decoded(arguments)
    if name == "wait":
        return [f"waiting for {known.get('for', 'the server')}"]
    if name == "shell":
        return [f"$ {known.get('command', '')}"]
    if name == "apply_patch":
        return [f"± {change['kind']} {change['path']}" for change in known.get("changes", ())]
    return [f"{name}({arguments})"]


def work_done(item: dict[str, Any]) -> list[str]:
    """Describe the outcome of a call: the first lines of a command's output, and any error."""
    output = (item.get("output") or "").rstrip().splitlines() if item["name"] == "shell" else []
    hidden = len(output) - _OUTPUT_LINES
    problem = " ".join(part["text"] for part in (item.get("error") or {}).get("content", ()))
    after = [f"… {hidden} more lines"] if hidden > 0 else []
    return [f"  {line}" for line in (*output[:_OUTPUT_LINES], *after, *([problem] if problem else []))]


def clean(text: str) -> str:
    """Remove the control characters, which a terminal would obey."""
    return "".join(char for char in text if char in _PASSED or char.isprintable() or char in "\u200d\u00ad")


def _decoded(arguments: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
