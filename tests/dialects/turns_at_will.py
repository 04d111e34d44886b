"""Strategies: the events of turns that keep the contract of `turns.py`, and of turns that keep none."""

import random

from hypothesis import strategies as st

from codex_proxy.errors import UpstreamFailed
from codex_proxy.history import Phase, Verbatim
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
    Recorded,
    Search,
    ToolCalled,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    Usage,
    Waiting,
    Work,
    WorkCompleted,
    WorkProgress,
    WorkStarted,
)

Events = tuple[TurnEvent, ...]

TEXTS = st.text("ab\n{}", max_size=4)
_phases: st.SearchStrategy[Phase | None] = st.sampled_from((None, "commentary", "final_answer"))
_ends: st.SearchStrategy[TurnCompleted | TurnFailed] = st.sampled_from(
    (
        TurnCompleted(Usage(3, 2, 1, 0)),
        TurnCompleted(None),
        TurnCompleted(None, interrupted=True),
        TurnFailed(UpstreamFailed("It broke."), Usage(3, 2, 1, 0)),
        TurnFailed(UpstreamFailed("It broke.")),
    )
)
_commands = st.tuples(st.just(Command("ls")), st.sampled_from((Command("ls", "a\n", 0), Command("ls", "", 2), Command("ls", "no"))))
_patch = Patch((("a", "add", "x"),))
_patches = st.tuples(st.just(_patch), st.sampled_from((_patch, Patch(_patch.changes, succeeded=False))))
_mcp_calls = st.tuples(
    st.just(McpCall("s", "t", "{}")), st.sampled_from((McpCall("s", "t", "{}", "[]"), McpCall("s", "t", "{}", None, "no")))
)
_searches = st.tuples(st.just(Search("")), st.sampled_from((Search("q"), Search("https://a.example", "open_page"))))
_works: st.SearchStrategy[tuple[Work, Work]] = st.one_of(_commands, _patches, _mcp_calls, _searches)
_plans = st.builds(PlanUpdated, st.lists(st.tuples(TEXTS, st.sampled_from(("pending", "completed"))), max_size=2).map(tuple))


@st.composite
def _message(draw: st.DrawFn, name: str) -> Events:
    pieces = draw(st.lists(TEXTS, max_size=3))
    deltas = (MessageDelta(name, piece) for piece in pieces)
    return (MessageStarted(name, draw(_phases)), *deltas, MessageCompleted(name, "".join(pieces)))


@st.composite
def _reasoning(draw: st.DrawFn, name: str) -> Events:
    parts = draw(st.lists(st.lists(TEXTS, min_size=1, max_size=2), max_size=3))
    raw = tuple(ReasoningDelta(name, 0, text, raw=True) for text in draw(st.lists(TEXTS, max_size=2)))
    deltas = (ReasoningDelta(name, number, piece) for number, pieces in enumerate(parts) for piece in pieces)
    end = ReasoningCompleted(name, tuple("".join(pieces) for pieces in parts), draw(st.sampled_from((None, "ENC"))))
    return (ReasoningStarted(name), *raw, *deltas, end)


@st.composite
def _work(draw: st.DrawFn, name: str) -> Events:
    begun, done = draw(_works)
    progress = (WorkProgress(name, text) for text in draw(st.lists(TEXTS, max_size=2)))
    return (WorkStarted(name, begun), *progress, WorkCompleted(name, done))


def _call(name: str) -> st.SearchStrategy[Events]:
    namespaces = st.sampled_from((None, "group"))
    return st.builds(ToolCalled, st.just(name), st.sampled_from(("look", "write")), TEXTS, namespaces).map(lambda call: (call,))


@st.composite
def turns(draw: st.DrawFn, *, overlapping: bool = True) -> Events:
    """Items with names of their own, their events in order, some of them cut off by the end."""
    kinds = draw(st.lists(st.sampled_from((_message, _message, _reasoning, _work, _call, None)), max_size=6))
    items: list[list[TurnEvent]] = [
        list(draw(kind(f"item_{number}"))) if kind else [draw(_plans)] for number, kind in enumerate(kinds)
    ]
    if overlapping and draw(st.booleans()):
        events = _interleaved(items, draw(st.randoms(use_true_random=False)))
    else:
        events = [event for item in items for event in item]
    if draw(st.booleans()):
        events = events[: draw(st.integers(0, len(events)))]
    return (TurnStarted(), *events, draw(_ends))


def _interleaved(items: list[list[TurnEvent]], chance: random.Random) -> list[TurnEvent]:
    waiting = [list(item) for item in items if item]
    told = []
    while waiting:
        item = chance.choice(waiting)
        told.append(item.pop(0))
        waiting = [item for item in waiting if item]
    return told


def disorder() -> st.SearchStrategy[Events]:
    """Any events in any order, ended as every turn is."""
    names = st.sampled_from(("a", "b"))
    works = _works.flatmap(st.sampled_from)
    event: st.SearchStrategy[TurnEvent] = st.one_of(
        st.just(TurnStarted()),
        st.builds(Waiting, st.sampled_from(("worker", "provider"))),
        st.just(Recorded(Verbatim("{}"))),
        st.builds(MessageStarted, names, _phases),
        st.builds(MessageDelta, names, TEXTS),
        st.builds(MessageCompleted, names, TEXTS),
        st.builds(ReasoningStarted, names),
        st.builds(ReasoningDelta, names, st.integers(0, 2), TEXTS, st.booleans()),
        st.builds(ReasoningCompleted, names, st.lists(TEXTS, max_size=2).map(tuple), st.sampled_from((None, "ENC"))),
        st.builds(WorkStarted, names, works),
        st.builds(WorkProgress, names, TEXTS),
        st.builds(WorkCompleted, names, works),
        _plans,
        names.flatmap(_call).map(lambda events: events[0]),
    )
    return st.tuples(st.lists(event, max_size=8), _ends).map(lambda turn: (*turn[0], turn[1]))
