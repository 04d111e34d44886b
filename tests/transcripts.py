"""Transcripts: the events of whole turns, as a worker tells them, which every dialect must be able to show."""

from codex_proxy.errors import UpstreamFailed
from codex_proxy.turns import (
    Command,
    McpCall,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    Patch,
    PlanUpdated,
    ReasoningCompleted,
    ReasoningDelta,
    ReasoningStarted,
    Search,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    Usage,
    Work,
    WorkCompleted,
    WorkProgress,
    WorkStarted,
)

Transcript = tuple[TurnEvent, ...]

USAGE = Usage(input=100, cached=40, output=20, reasoning=7)
BROKE_OFF = UpstreamFailed("The model provider broke off.", detail="http://127.0.0.1:9912/v1")


def message(item: str, *pieces: str, commentary: bool = False) -> Transcript:
    """A message in its pieces, one delta each."""
    deltas = (MessageDelta(item, piece) for piece in pieces)
    return (MessageStarted(item, commentary), *deltas, MessageCompleted(item, "".join(pieces)))


def reasoning(item: str, *parts: tuple[str, ...]) -> Transcript:
    """A reasoning item: its summary parts, each in its pieces."""
    deltas = (ReasoningDelta(item, number, piece) for number, pieces in enumerate(parts) for piece in pieces)
    return (ReasoningStarted(item), *deltas, ReasoningCompleted(item, tuple("".join(pieces) for pieces in parts)))


def work(item: str, begun: Work, done: Work, *progress: str) -> Transcript:
    """A piece of the agent's own work."""
    return (WorkStarted(item, begun), *(WorkProgress(item, text) for text in progress), WorkCompleted(item, done))


def completed(*parts: Transcript) -> Transcript:
    """A turn of these parts that ends well."""
    return (TurnStarted(), *(event for part in parts for event in part), TurnCompleted(USAGE))


def failed(*parts: Transcript) -> Transcript:
    """A turn that breaks off after these parts."""
    return (TurnStarted(), *(event for part in parts for event in part), TurnFailed(BROKE_OFF, USAGE))


_LS = work("c1", Command("ls  -l\n"), Command("ls  -l\n", "one\ntwo\n", 0), "one\n", "two\n")
_PATCH = Patch((("src/a.py", "add", "x\n"), ("src/b.py", "delete", "")))
_CALL = McpCall("clock", "time_in", '{"city":"Bern"}')
_NOON = McpCall("clock", "time_in", '{"city":"Bern"}', '{"content":[]}')
_PLAN = PlanUpdated((("Look around", "completed"), ("Act", "in_progress"), ("Rest", "pending")))
_FOUND = Search("codex proxy")

PLAIN = completed(message("m1", "Hello ", "there."))
EMPTY = completed()
REASONING = completed(reasoning("r1", ("**Looking", " around**"), ("**Acting**",)), message("m1", "Done."))
REASONING_TWICE = completed(reasoning("r1", ("One.",)), reasoning("r2", ("Two.",)), message("m1", "Done."))
COMMENTARY = completed(message("m1", "I will ", "look.", commentary=True), message("m2", "Done."))
COMMAND = completed(reasoning("r1", ("**Looking**",)), _LS, message("m1", "Two files."))
TWO_COMMANDS = completed(_LS, work("c2", Command("pwd"), Command("pwd", "/\n", 0)), message("m1", "Done."))
PATCH = completed(work("p1", _PATCH, _PATCH), message("m1", "Changed."))
MCP = completed(work("t1", _CALL, _NOON, "half way"), message("m1", "Noon."))
SEARCH = completed(work("s1", Search(""), _FOUND), message("m1", "Found."))
PLAN = completed((_PLAN,), message("m1", "Planned."))
TWO_MESSAGES = completed(message("m1", "One."), message("m2", "Two", "."))
THINKING_AFTER_WORK = completed(_LS, reasoning("r1", ("Hm.",)), message("m1", "Done."))
FAILED_FIRST = (TurnFailed(BROKE_OFF),)
FAILED_BEFORE_TEXT = failed(reasoning("r1", ("Hm.",)))
FAILED_IN_THE_MIDDLE = failed((MessageStarted("m1", False), MessageDelta("m1", "Hel"), MessageDelta("m1", "lo")))
INTERRUPTED = (*PLAIN[:3], TurnCompleted(USAGE, interrupted=True))
WITHOUT_USAGE = (*PLAIN[:-1], TurnCompleted(None))
