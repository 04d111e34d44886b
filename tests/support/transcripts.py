"""Transcripts: the events of whole turns, as a worker tells them, which every dialect must be able to show."""

from codex_proxy.errors import UpstreamFailed
from codex_proxy.history import Phase
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
    ToolCalled,
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


def message(item: str, *pieces: str, phase: Phase | None = None) -> Transcript:
    """A message in its pieces, one delta each."""
    deltas = (MessageDelta(item, piece) for piece in pieces)
    return (MessageStarted(item, phase), *deltas, MessageCompleted(item, "".join(pieces)))


def reasoning(item: str, *parts: tuple[str, ...], encrypted: str | None = None) -> Transcript:
    """A reasoning item: its summary parts, each in its pieces."""
    deltas = (ReasoningDelta(item, number, piece) for number, pieces in enumerate(parts) for piece in pieces)
    return (ReasoningStarted(item), *deltas, ReasoningCompleted(item, tuple("".join(pieces) for pieces in parts), encrypted))


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
_PWD = work("c2", Command("pwd"), Command("pwd", "/\n", 0))
_FALSE = work("c1", Command("false"), Command("false", "", 1))
_PATCH = Patch((("src/a.py", "add", "x\n"), ("src/b.py", "delete", "")))
_CALL = McpCall("clock", "time_in", '{"city":"Bern"}')
_NOON = McpCall("clock", "time_in", '{"city":"Bern"}', '{"content":[]}')
_LATE = McpCall("clock", "time_in", '{"city":"Bern"}', None, "timed out")
_PLAN = PlanUpdated((("Look around", "completed"), ("Act", "in_progress"), ("Rest", "pending")))
_FOUND = Search("codex proxy")
_WEATHER = ToolCalled("call_w", "get_weather", '{"city": "Rome"}')
_TIME = ToolCalled("call_t", "get_time", "{}", "clock")
_HEL_LO = (MessageStarted("m1", None), MessageDelta("m1", "Hel"), MessageDelta("m1", "lo"))

# What every dialect must be able to show.
ALL: dict[str, Transcript] = {
    "PLAIN": completed(message("m1", "Hello ", "there.")),
    "EMPTY": completed(),
    "REASONING": completed(reasoning("r1", ("**Looking", " around**"), ("**Acting**",), encrypted="ENC"), message("m1", "Done.")),
    "REASONING_TWICE": completed(reasoning("r1", ("One.",)), reasoning("r2", ("Two.",)), message("m1", "Done.")),
    "RAW_REASONING": completed((ReasoningDelta("r1", 0, "hm", raw=True), *reasoning("r1", ("Hm.",))[1:]), message("m1", "Done.")),
    "COMMENTARY": completed(message("m1", "I will ", "look.", phase="commentary"), message("m2", "Done.", phase="final_answer")),
    "COMMAND": completed(reasoning("r1", ("**Looking**",)), _LS, message("m1", "Two files.")),
    "COMMAND_FAILED": completed(_FALSE, message("m1", "No.")),
    "TWO_COMMANDS": completed(_LS, _PWD, message("m1", "Done.")),
    "OVERLAPPING_COMMANDS": completed((_LS[0], _PWD[0], *_LS[1:], *_PWD[1:]), message("m1", "Done.")),
    "PATCH": completed(work("p1", _PATCH, _PATCH), message("m1", "Changed.")),
    "PATCH_FAILED": completed(work("p1", _PATCH, Patch(_PATCH.changes, succeeded=False)), message("m1", "No.")),
    "MCP": completed(work("t1", _CALL, _NOON, "half way"), message("m1", "Noon.")),
    "MCP_FAILED": completed(work("t1", _CALL, _LATE), message("m1", "No.")),
    "SEARCH": completed(work("ws_1", Search(""), _FOUND), message("m1", "Found.")),
    "PLAN": completed((_PLAN,), message("m1", "Planned.")),
    "CALL": completed((_WEATHER,)),
    "TWO_CALLS": completed(message("m1", "Let me see.", phase="commentary"), (_WEATHER, _TIME)),
    "TWO_MESSAGES": completed(message("m1", "One."), message("m2", "Two", ".")),
    "THINKING_AFTER_WORK": completed(_LS, reasoning("r1", ("Hm.",)), message("m1", "Done.")),
    "FAILED_FIRST": (TurnFailed(BROKE_OFF),),
    "FAILED_BEFORE_TEXT": failed(reasoning("r1", ("Hm.",))),
    "FAILED_IN_THE_MIDDLE": failed(_HEL_LO),
    "FAILED_IN_A_COMMAND": failed(_LS[:2]),
    "INTERRUPTED": (TurnStarted(), *message("m1", "Hello ", "there.")[:2], TurnCompleted(USAGE, interrupted=True)),
    "WITHOUT_USAGE": (TurnStarted(), *message("m1", "Hello ", "there."), TurnCompleted(None)),
}
